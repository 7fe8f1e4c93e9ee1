//! Becoming a machine, all at once: the order matters, every step can be repeated, and nothing is done that need
//! not be, since all of it is on the time of whoever waits for the machine.
//!
//! ```text
//! clock ──▶ chance ──▶ boot id ──▶ names ──▶ network ──▶ environment ──▶ SSH keys ──▶ disk ──▶ hooks ──▶ answer
//! ```
//! A failure ends it there; told again, it begins at the clock. Only hooks cannot fail it.

mod boot_id;
mod hooks;
pub(crate) mod keys;
mod notices;
mod parse;
mod resting;

use crate::failure::failed;
use crate::house::DefaultEnv;
use crate::network::{self, NetworkError};
use crate::reaper::Reaper;
use crate::{grow, identity};
pub(crate) use boot_id::TOLD as BOOT_ID;
use machine_agent_protocol::{Failed, FailureCode, WakeOrigin, Woken};
pub(crate) use parse::{Waking, Which, parse};
pub(crate) use resting::Resting;
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// IPv6 begins anew after the answer has left.
const ANSWER_FIRST: Duration = Duration::from_millis(300);

/// What waking changes of the agent itself.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) reaper: Reaper,
    pub(crate) env: Arc<watch::Sender<DefaultEnv>>,
    pub(crate) boot_id: watch::Sender<String>,
}

/// What was done last.
#[derive(Debug)]
pub(crate) enum Before {
    /// Nothing since the guest's boot, or it failed.
    Nothing,
    /// It came to rest.
    Rested(Resting),
    /// It became this machine.
    Woke(Which, Woken),
}

/// Becomes what `waking` says. If that is what was done `before`, the lasting parts stay: the boot id, the hooks.
pub(crate) async fn wake(world: &World, waking: &Waking, before: &Before) -> Result<Woken, Failed> {
    identity::set_time(waking.clock.now())?;
    let (resting, woken) = match before {
        Before::Nothing => (None, None),
        Before::Rested(resting) => (Some(resting), None),
        Before::Woke(which, woken) => (None, (*which == waking.which).then_some(woken)),
    };
    let opened;
    let chance = match resting {
        Some(resting) => &resting.chance,
        None => {
            opened = identity::chance()?;
            &opened
        }
    };
    identity::stir(chance, &waking.entropy)?;
    let life = Life::of(waking.which.origin, woken);
    if life == Life::New {
        renew_boot_id(world, resting, chance)?;
    }
    identity::become_host(&waking.hostname)?;
    identity::become_machine(&waking.machine_id)?;
    connect(waking, resting.and_then(|resting| resting.card.as_ref())).map_err(|error| io(&error))?;
    world.env.send_replace(waking.env.clone());
    let replaced = keys::replace(Path::new(keys::FOLDER), &waking.keys);
    if replaced.map_err(|error| failed("cannot replace the SSH host keys", &error))? == keys::Replaced::Some {
        keys::tell_daemon();
    }
    if let Some(bytes) = waking.root_bytes {
        grow::to(bytes).await?;
    }
    match life {
        Life::Same => Ok(woken.cloned().unwrap_or_default()),
        Life::New => {
            let hooks = resting.map_or_else(|| hooks::all().into(), |resting| Cow::from(&resting.hooks));
            Ok(Woken { failed_hooks: hooks::run(&world.reaper, &hooks, waking).await })
        }
    }
}

/// Whether the kernel that was restored is somebody else now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Same,
    New,
}

impl Life {
    /// A guest that is told the same once more goes on with the life that it began.
    fn of(origin: WakeOrigin, woken: Option<&Woken>) -> Self {
        match origin {
            WakeOrigin::Image if woken.is_none() => Self::New,
            WakeOrigin::Image | WakeOrigin::Boot => Self::Same,
        }
    }
}

fn renew_boot_id(world: &World, resting: Option<&Resting>, chance: &File) -> Result<(), Failed> {
    let renewed = match resting {
        Some(resting) => boot_id::renew(&resting.boot_id, chance),
        None => boot_id::take_over().and_then(|file| boot_id::renew(&file, chance)),
    };
    let fresh = renewed.map_err(|error| failed("cannot renew the boot id", &error))?;
    world.boot_id.send_replace(fresh);
    Ok(())
}

fn connect(waking: &Waking, card: Option<&network::Resting>) -> Result<(), NetworkError> {
    match (waking.mac, card) {
        (Some(mac), Some(card)) => card.become_card(mac)?,
        (Some(mac), None) => network::become_card(mac)?,
        (None, _) => {}
    }
    if let Some(address) = &waking.address {
        network::readdress(address)?;
    }
    if card.is_some_and(network::Resting::wants_ipv6) {
        tokio::spawn(async {
            tokio::time::sleep(ANSWER_FIRST).await;
            network::ipv6_on();
        });
    }
    Ok(())
}

fn io(error: &NetworkError) -> Failed {
    Failed { code: FailureCode::Io, message: error.to_string() }
}
