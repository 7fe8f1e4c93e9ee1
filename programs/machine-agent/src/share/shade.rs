//! The guest's own folders over those of the host that it shall not see. Links are never followed below the mounted
//! folder: whoever fills it is not asked where things are mounted.

use super::own_folders;
use super::place::Place;
use super::table;
use crate::failure::failed;
use machine_agent_protocol::{Failed, Owner};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use sha1::{Digest as _, Sha1};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Lays a folder of the guest's own over each exclude.
pub(super) fn lay(place: &Place) -> Result<(), Failed> {
    place.excludes.iter().try_for_each(|exclude| {
        lay_one(place, exclude).map_err(|error| {
            failed(format_args!("cannot keep {} below {}", exclude.display(), place.target.display()), &error)
        })
    })
}

fn lay_one(place: &Place, exclude: &Path) -> io::Result<()> {
    let hidden = place.target.join(exclude);
    if table::at(&hidden)?.is_some() {
        return Ok(());
    }
    let own = own_folders().join(name_of(place, exclude));
    make_folders(&own, place.owner)?;
    let spot = open_below(&place.target, exclude, place.owner)?;
    Ok(rustix::mount::mount_bind(&own, format!("/proc/thread-self/fd/{}", spot.as_raw_fd()))?)
}

/// The same for the same place, in this machine and in those that are made of it.
fn name_of(place: &Place, exclude: &Path) -> PathBuf {
    let mut hash = Sha1::new();
    hash.update(place.target.as_os_str().as_bytes());
    hash.update([0]);
    hash.update(exclude.as_os_str().as_bytes());
    let mut name = String::new();
    for byte in hash.finalize() {
        write!(name, "{byte:02x}").expect("writing to a String cannot fail");
    }
    PathBuf::from(name)
}

/// Opens a folder below another, and makes it if it is not there.
fn open_below(folder: &Path, path: &Path, owner: Owner) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(folder, flags, Mode::empty())?;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for name in path {
        let open = || rustix::fs::openat2(&at, name, flags, Mode::empty(), beneath);
        at = match open() {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) => give(&at, Path::new(name), owner)?,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                open()?
            }
            opened => opened?,
        };
    }
    Ok(at)
}

/// Makes a folder and those on the way; the new ones are the owner's.
pub(super) fn make_folders(path: &Path, owner: Owner) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| fs::symlink_metadata(folder).is_err()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => give(rustix::fs::CWD, folder, owner)?,
            // Somebody else made it in this moment.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn give(at: impl std::os::fd::AsFd, path: &Path, owner: Owner) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(rustix::fs::chownat(at, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}
