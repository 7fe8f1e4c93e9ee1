//! Becoming a machine, all at once: the order matters, every step can be repeated, and nothing is written that is
//! right already, since all of it is on the time of whoever waits for the machine.
//!
//! ```text
//! clock ──▶ chance ──▶ boot id ──▶ names ──▶ network ──▶ environment ──▶ SSH keys ──▶ disk ──▶ hooks ──▶ answer
//! ```
//! A failure ends it there; told again, it begins at the clock. Only hooks cannot fail it.

pub(crate) mod boot_id;
mod hooks;
pub(crate) mod keys;
mod parse;

use crate::failure::failed;
use crate::house::DefaultEnv;
use crate::reaper::Reaper;
use crate::{content, grow, identity, network};
use machine_agent_protocol::{Failed, FailureCode, WakeOrigin, Woken};
pub(crate) use parse::{Waking, Which, parse};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// What systems keep of themselves, beside their names: chance for the next boot, and secrets made of it.
const LEFTOVERS: [&str; 3] =
    ["/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/var/lib/NetworkManager/secret_key"];

/// What waking changes of the agent itself.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) reaper: Reaper,
    pub(crate) env: Arc<watch::Sender<DefaultEnv>>,
    pub(crate) boot_id: watch::Sender<String>,
}

/// What was done last.
#[derive(Debug)]
pub(crate) struct Done {
    which: Which,
    woken: Woken,
}

/// Becomes what `waking` says. If that is what was done `before`, the lasting parts stay: the boot id, the hooks.
pub(crate) async fn wake(world: &World, waking: &Waking, before: Option<Done>) -> Result<Done, Failed> {
    identity::set_time(waking.clock.now())?;
    identity::stir(&waking.entropy)?;
    let before = before.filter(|done| done.which == waking.which);
    let restored = match waking.which.origin {
        WakeOrigin::Boot => false,
        WakeOrigin::Image => true,
    };
    if restored && before.is_none() {
        forget_image(world)?;
    }
    identity::become_host(&waking.hostname)?;
    identity::become_machine(&waking.machine_id)?;
    let io = |message: String| Failed { code: FailureCode::Io, message };
    network::change(waking.mac, waking.address.as_ref()).map_err(|error| io(error.to_string()))?;
    world.env.send_replace(waking.env.clone());
    let replaced = keys::replace(Path::new(keys::FOLDER), &waking.keys);
    if replaced.map_err(|error| failed("cannot replace the SSH host keys", &error))? == keys::Replaced::Some {
        keys::tell_daemon();
    }
    if let Some(bytes) = waking.root_bytes {
        grow::to(bytes).await?;
    }
    let woken = match before {
        Some(done) => done.woken,
        None if restored => {
            let env = hooks::environment(&waking.which, &waking.hostname, &waking.env);
            Woken { failed_hooks: hooks::run(&world.reaper, &env).await }
        }
        None => Woken::default(),
    };
    Ok(Done { which: waking.which.clone(), woken })
}

impl Done {
    pub(crate) fn woken(&self) -> Woken {
        self.woken.clone()
    }
}

fn forget_image(world: &World) -> Result<(), Failed> {
    let fresh = boot_id::renew().map_err(|error| failed("cannot renew the boot id", &error))?;
    world.boot_id.send_replace(fresh);
    forget_leftovers()
}

/// Removes what belongs to whoever the guest was.
pub(crate) fn forget_leftovers() -> Result<(), Failed> {
    for path in LEFTOVERS {
        content::remove(Path::new(path)).map_err(|error| failed(format_args!("cannot remove {path}"), &error))?;
    }
    Ok(())
}
