//! Becoming a machine, all at once: the order matters, every step can be repeated, and nothing is done that need
//! not be, since all of it is on the time of whoever waits for the machine.
//!
//! ```text
//! clock ──▶ chance ──▶ boot id ──▶ memory over a read-only root ──▶ names ──▶ network ──▶ SSH keys
//! ──▶ authorities, beside disk and the host's folders ──▶ root read-only ──▶ hooks ──▶ environment ──▶ answer
//! ```
//! A failure ends it there; told again, it begins at the clock. Only hooks cannot fail it.

mod boot_id;
mod hooks;
pub(crate) mod keys;
mod notices;
mod parse;
mod resting;

use crate::authorities::Trusted;
use crate::failure::failed;
use crate::house::DefaultEnv;
use crate::network::{self, NetworkError};
use crate::plate::Plate;
use crate::reaper::Reaper;
use crate::{grow, identity, read_only_root, rights, share};
pub(crate) use boot_id::TOLD as BOOT_ID;
use machine_agent_protocol::{Failed, FailureCode, WakeOrigin, WakeRoot, Woken};
pub(crate) use parse::{Rest, Waking, Which, parse, parse_rest};
pub(crate) use resting::Resting;
use std::borrow::Cow;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

const BOOT_ID_BYTES: usize = 16;
/// 256 bits.
const ENOUGH_ENTROPY: usize = 32;

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
    Rested(Box<Resting>),
    /// It became this machine.
    Woke(Which, Woken),
}

/// Becomes what `waking` says. If that is what was done `before`, the lasting parts stay: the boot id, the hooks.
pub(crate) async fn wake(world: &World, mut waking: Waking, before: &mut Before) -> Result<Woken, Failed> {
    if waking.which.origin == WakeOrigin::Saved {
        return go_on(world, waking, before).await;
    }
    identity::set_time(waking.clock.now())?;
    let (mut resting, woken) = match before {
        Before::Nothing => (None, None),
        Before::Rested(resting) => (Some(resting), None),
        Before::Woke(which, woken) => (None, (*which == waking.which).then_some(woken)),
    };
    stir(resting.as_deref().map(AsRef::as_ref), &waking.entropy)?;
    if let (Some(resting), false) = (&mut resting, waking.mounts.is_empty()) {
        // Devices are taken up meanwhile.
        resting.listen();
    }
    let mounts = u32::try_from(waking.mounts.len()).ok().filter(|mounts| *mounts > 0);
    let root = waking.root;
    let life = Life::of(waking.which.origin, woken.as_deref());
    if life == Life::New {
        renew_boot_id(world, resting.as_mut().and_then(|resting| resting.boot_id.as_mut()), &waking)?;
    }
    if waking.root == Some(WakeRoot::ReadOnly) {
        resting.iter_mut().for_each(|resting| resting.let_go_of_root());
        read_only_root::lay_over().await?;
    }
    be_called(&waking, resting.as_deref_mut().map(AsMut::as_mut))?;
    let trusting = trust(waking.authorities.take(), resting.as_mut().map(|resting| &mut resting.trusted));
    let (variables, ()) = tokio::try_join!(trusting, lay_out(&mut waking))?;
    seal(waking.root).await?;
    let failed_hooks = match (life, woken) {
        (Life::Same, Some(woken)) => woken.failed_hooks.clone(),
        (Life::Same, None) => Vec::new(),
        (Life::New, _) => {
            let hooks = resting.map_or_else(|| hooks::all().into(), |resting| Cow::from(&resting.hooks));
            hooks::run(&world.reaper, &hooks, &waking).await
        }
    };
    // Unless the machine says otherwise.
    for (name, value) in variables {
        waking.env.entry(name).or_insert(value);
    }
    world.env.send_replace(waking.env);
    Ok(Woken { failed_hooks, mounts, root })
}

fn stir(resting: Option<&Resting>, entropy: &[u8]) -> Result<(), Failed> {
    match resting {
        Some(resting) => identity::stir(&resting.chance, entropy),
        None => identity::stir(&identity::chance()?, entropy),
    }
}

/// It is who it was: but for the time, the chance and the folders of the host nothing is another. Its environment
/// stays as well. Hooks run once: they hear of every gap in its life.
async fn go_on(world: &World, mut waking: Waking, before: &Before) -> Result<Woken, Failed> {
    identity::set_time(waking.clock.now())?;
    stir(None, &waking.entropy)?;
    let (mounts, root) = (u32::try_from(waking.mounts.len()).ok().filter(|mounts| *mounts > 0), waking.root);
    for place in std::mem::take(&mut waking.mounts) {
        share::ready(place).await?;
    }
    let failed_hooks = match before {
        Before::Woke(which, woken) if *which == waking.which => woken.failed_hooks.clone(),
        Before::Woke(..) | Before::Nothing | Before::Rested(_) => {
            hooks::run(&world.reaper, &hooks::all(), &waking).await
        }
    };
    Ok(Woken { failed_hooks, mounts, root })
}

/// Its names, its address and its keys.
fn be_called(waking: &Waking, mut resting: Option<&mut Resting>) -> Result<(), Failed> {
    identity::become_host(&waking.hostname, resting.as_mut().map(|resting| &mut resting.plates))?;
    identity::become_machine(&waking.machine_id, resting.as_mut().map(|resting| &mut resting.plates))?;
    connect(waking, resting.and_then(|resting| resting.card.as_ref())).map_err(|error| io(&error))?;
    let replaced = keys::replace(Path::new(keys::FOLDER), &waking.keys);
    if replaced.map_err(|error| failed("cannot replace the SSH host keys", &error))? == keys::Replaced::Some {
        keys::tell_daemon();
    }
    Ok(())
}

/// The disk, and the host's folders.
async fn lay_out(waking: &mut Waking) -> Result<(), Failed> {
    // One that is sealed was grown before.
    if let Some(bytes) = waking.root_bytes.filter(|_| !read_only_root::is_sealed()) {
        grow::to(bytes).await?;
    }
    for place in std::mem::take(&mut waking.mounts) {
        share::ready(place).await?;
    }
    Ok(())
}

/// Nothing is written to the root any more, if so asked.
async fn seal(root: Option<WakeRoot>) -> Result<(), Failed> {
    match root {
        Some(WakeRoot::ReadOnly) => read_only_root::seal().await,
        Some(WakeRoot::Writable) | None => Ok(()),
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
            WakeOrigin::Image | WakeOrigin::Saved | WakeOrigin::Boot => Self::Same,
        }
    }
}

fn renew_boot_id(world: &World, plate: Option<&mut Plate>, waking: &Waking) -> Result<(), Failed> {
    let renewed = boot_id::renew(plate, boot_bytes(&waking.entropy)?);
    let fresh = renewed.map_err(|error| failed("cannot renew the boot id", &error))?;
    world.boot_id.send_replace(fresh);
    Ok(())
}

/// The guest trusts what the host does. Where it did not come to rest so, its disk is cold: hence beside the loop.
async fn trust(wanted: Option<Vec<String>>, known: Option<&mut Trusted>) -> Result<DefaultEnv, Failed> {
    let Some(wanted) = wanted else { return Ok(DefaultEnv::new()) };
    let mut trusted = match &known {
        Some(known) if known.is(&wanted) => return Ok(known.variables().clone()),
        Some(known) => Some((**known).clone()),
        None => None,
    };
    let trusted = rights::with(None, move || {
        let mut trusted = trusted.take().unwrap_or_else(Trusted::of_guest);
        trusted.become_these(wanted)?;
        Ok(trusted)
    })
    .await?;
    let variables = trusted.variables().clone();
    // Told again, it begins with what there is now.
    known.into_iter().for_each(|known| known.clone_from(&trusted));
    Ok(variables)
}

/// The host's own random bytes, if it gave more than the kernel's chance needs; nobody else ever had them.
fn boot_bytes(entropy: &[u8]) -> Result<[u8; BOOT_ID_BYTES], Failed> {
    let spare = entropy.len().checked_sub(ENOUGH_ENTROPY).filter(|spare| *spare >= BOOT_ID_BYTES);
    match entropy.last_chunk().filter(|_| spare.is_some()) {
        Some(bytes) => Ok(*bytes),
        None => {
            let mut bytes = [0; BOOT_ID_BYTES];
            let read = identity::chance()?.read_exact(&mut bytes);
            read.map_err(|error| failed("cannot read random bytes", &error)).map(|()| bytes)
        }
    }
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
    Ok(())
}

fn io(error: &NetworkError) -> Failed {
    Failed { code: FailureCode::Io, message: error.to_string() }
}
