//! Folders of the host in the guest.
//!
//! ```text
//! absent ──Mount: the device is waited for──▶ mounted ──excludes──▶ ready ──Unmount──▶ absent
//!                        ▲                       │  └──Mount, the same──▶ ready
//!                        └──Mount, the same, when whoever served it is gone: the new device is waited for
//! ```
//! Which places may be mounted at is in `place`, which devices there are in `device`, what is mounted in `table`,
//! folders of the guest's own in `shade`, replaying the host's changes in `touch`.

mod device;
mod place;
mod shade;
mod table;
mod touch;

use crate::failure::{failed, invalid};
use crate::rights;
use machine_agent_protocol::{Answer, Failed, FailureCode, Mount, MountAccess, Touch, Unmount};
pub(crate) use place::{Place, parse};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const KIND: &str = "virtiofs";
/// A device that was plugged in just now needs some time.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Whoever writes here makes the kernel look for devices, should the platform not have told it.
const LOOK_FOR_DEVICES: &str = "/sys/bus/pci/rescan";
/// More mounts do not lie upon each other.
const DEEPEST: usize = 64;

/// Whether a folder of the host was ever mounted in this life of the guest.
static ANY: AtomicBool = AtomicBool::new(false);

/// Whether there may be files whose server is a process of the host, which can be slow, or dead.
pub(crate) fn is_any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// What an attempt to mount led to.
enum Attempt {
    Mounted,
    /// There is no such device yet.
    NotYet(Errno),
}

/// Mounts what the host asks for.
pub(crate) async fn mount(mount: Mount) -> Result<Answer, Failed> {
    ready(parse(mount)?).await?;
    Ok(Answer::DONE)
}

/// Takes away what the host asks for.
pub(crate) async fn unmount(unmount: Unmount) -> Result<Answer, Failed> {
    let target = place::target(&unmount.target)?;
    rights::with(None, move || detach(&target)).await?;
    Ok(Answer::DONE)
}

/// Lets those who watch know what the host changed.
pub(crate) async fn touch(touch: Touch) -> Result<Answer, Failed> {
    let target = place::target(&touch.target)?;
    if touch.changes.len() > Touch::MOST {
        return Err(invalid(format!("at most {} changes at a time", Touch::MOST)));
    }
    rights::with(None, move || match table::at(&target) {
        // Elsewhere the kernel tells by itself.
        Ok(Some(found)) if found.kind == KIND => touch::replay(&target, &touch.changes),
        Ok(_) => Ok(()),
        Err(error) => Err(failed("cannot read what is mounted", &error)),
    })
    .await?;
    Ok(Answer::DONE)
}

/// Mounts one folder, and lays the guest's own over its excludes.
pub(crate) async fn ready(place: Place) -> Result<(), Failed> {
    ANY.store(true, Ordering::Relaxed);
    let until = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        let attempt = place.clone();
        match rights::with(None, move || attach(&attempt, KIND)).await? {
            Attempt::Mounted => break,
            Attempt::NotYet(error) if Instant::now() >= until => {
                return Err(failed(format_args!("no folder of the host is called {}", place.tag), &error.into()));
            }
            Attempt::NotYet(_) => tokio::time::sleep(pause).await,
        }
        if pause == LONGEST_PAUSE {
            rights::with(None, look_for_devices).await?;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    rights::with(None, move || shade::lay(&place)).await
}

/// The kernel does so under a lock that a device which cannot be let go of may hold.
fn look_for_devices() -> Result<(), Failed> {
    // A kernel without PCI has nothing to look for.
    std::fs::write(LOOK_FOR_DEVICES, "1\n").unwrap_or_default();
    Ok(())
}

fn attach(place: &Place, kind: &str) -> Result<Attempt, Failed> {
    let tried = |error: io::Error| failed(format_args!("cannot mount {}", place.target.display()), &error);
    if let Some(found) = table::at(&place.target).map_err(tried)? {
        same(place, &found, kind)?;
        if is_served(&place.target) {
            return Ok(Attempt::Mounted);
        }
        // Not before the new one can be had: meanwhile nobody shall take the bare place for the folder.
        if !device::is_there(&place.tag) {
            return Ok(Attempt::NotYet(Errno::NODEV));
        }
        detach(&place.target)?;
    }
    no_link_on_the_way(&place.target)?;
    shade::make_folders(&place.target, place.owner).map_err(tried)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    match place.access {
        MountAccess::ReadWrite => {}
        MountAccess::ReadOnly => flags |= MountFlags::RDONLY,
    }
    match rustix::mount::mount(&place.tag, &place.target, kind, flags, None) {
        Ok(()) => Ok(Attempt::Mounted),
        // Its word for a tag that nobody has.
        Err(error @ (Errno::INVAL | Errno::NODEV | Errno::NOENT | Errno::NXIO)) => Ok(Attempt::NotYet(error)),
        Err(error) => Err(tried(error.into())),
    }
}

/// A link may lead anywhere, and the kernel would tell of the mount by another name.
fn no_link_on_the_way(target: &Path) -> Result<(), Failed> {
    let is_link = |path: &&Path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    match target.ancestors().find(is_link) {
        Some(link) => Err(invalid(format!("{} is a link: name the place that it leads to", link.display()))),
        None => Ok(()),
    }
}

/// What is mounted there already must be what is asked for.
fn same(place: &Place, found: &table::Mounted, kind: &str) -> Result<(), Failed> {
    let wanted = match place.access {
        MountAccess::ReadWrite => table::Writing::Allowed,
        MountAccess::ReadOnly => table::Writing::Refused,
    };
    if found.kind == kind && found.source == place.tag && found.writing == wanted {
        return Ok(());
    }
    let (target, kind, source) = (place.target.display(), &found.kind, &found.source);
    let message = format!("cannot mount {target}: {kind} {source:.64?} is mounted there already");
    Err(Failed { code: FailureCode::AlreadyExists, message })
}

/// Whether whoever serves what is mounted there answers. The host sees to it that the dead are answered for.
fn is_served(target: &Path) -> bool {
    let is_gone = |error| matches!(error, Errno::NOTCONN | Errno::CONNREFUSED | Errno::CONNABORTED | Errno::IO);
    !rustix::fs::statfs(target).is_err_and(is_gone)
}

/// Takes away all that is mounted at `target`, with what is mounted below it. Nothing is looked up inside: whoever
/// serves it may be gone.
fn detach(target: &Path) -> Result<(), Failed> {
    let tried = |error: io::Error| failed(format_args!("cannot unmount {}", target.display()), &error);
    for _ in 0..DEEPEST {
        if table::at(target).map_err(tried)?.is_none() {
            return Ok(());
        }
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        rustix::mount::unmount(target, flags).map_err(|error| tried(error.into()))?;
    }
    Err(tried(io::Error::other("too much is mounted there")))
}

/// Where the guest keeps the folders that it has in place of the host's.
fn own_folders() -> PathBuf {
    PathBuf::from("/var/lib/machine/exclude")
}

#[cfg(test)]
mod tests;
