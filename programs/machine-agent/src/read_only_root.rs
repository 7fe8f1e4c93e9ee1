//! A root that nobody can write to, and memory where programs must.
//!
//! ```text
//! writable ──lay_over──▶ memory over what is written to ──seal──▶ read-only
//! ```
//! | place | in memory |
//! |---|---|
//! | /tmp, /var/tmp | nothing at first |
//! | /var/cache, /var/log, /var/spool | the folders that the root has, without files |
//! | /etc, /home, /root, /var/lib/machine | all that the root has, at most 256 MiB together |
//!
//! /run and /dev/shm are memory anyway. The rest, /var/lib too, cannot be written to. Repeated, it is as done once.

use crate::failure::failed;
use crate::rights;
use machine_agent_protocol::{Failed, FailureCode};
use rustix::fs::{AtFlags, CWD, Gid, StatVfsMountFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// What of the root is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Nothing,
    Folders,
    All,
}

const PLACES: [(&str, Fill); 9] = [
    ("/tmp", Fill::Nothing),
    ("/var/tmp", Fill::Nothing),
    ("/var/cache", Fill::Folders),
    ("/var/log", Fill::Folders),
    ("/var/spool", Fill::Folders),
    ("/etc", Fill::All),
    ("/home", Fill::All),
    ("/root", Fill::All),
    ("/var/lib/machine", Fill::All),
];
/// Where a place is filled before anybody sees it.
const STAGE: &str = "/run/machine-root";
/// More is not kept in memory.
const MOST: u64 = 256 << 20;
/// Who writes to the root when it shall end may just be done.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// So many of those who write are named.
const NAMED: usize = 8;

/// Lays memory over what programs write to.
pub(crate) async fn lay_over() -> Result<(), Failed> {
    rights::with(None, || {
        let mut room = MOST;
        PLACES.into_iter().try_for_each(|(place, fill)| {
            lay_one(Path::new(place), fill, &mut room)
                .map_err(|error| failed(format_args!("cannot keep {place} in memory"), &error))
        })
    })
    .await
}

/// Whether nothing can be written to the root.
pub(crate) fn is_sealed() -> bool {
    rustix::fs::statvfs("/").is_ok_and(|root| root.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Refuses all writing to the root from now on.
pub(crate) async fn seal() -> Result<(), Failed> {
    let until = Instant::now() + PATIENCE;
    let tried = |error: Errno| failed("cannot make the root read-only", &error.into());
    loop {
        if is_sealed() {
            return Ok(());
        }
        match rustix::mount::mount_remount("/", MountFlags::RDONLY, "") {
            Err(Errno::BUSY) if Instant::now() < until => tokio::time::sleep(LOOK_AGAIN).await,
            Err(Errno::BUSY) => return Err(busy()),
            done => done.map_err(tried)?,
        }
    }
}

fn busy() -> Failed {
    let mut names = writers();
    names.truncate(NAMED);
    let message = format!("cannot make the root read-only: these write to it: {}", names.join(", "));
    Failed { code: FailureCode::Io, message }
}

fn lay_one(place: &Path, fill: Fill, room: &mut u64) -> io::Result<()> {
    let found = match fs::symlink_metadata(place) {
        // A link leads to what is laid over by itself, or to what is not ours.
        Ok(found) if found.is_dir() => found,
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let parent = fs::metadata(place.parent().unwrap_or(Path::new("/")))?;
    if found.dev() != parent.dev() {
        // It is a file system of its own already.
        return Ok(());
    }
    fs::create_dir_all(STAGE)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("machine-root", STAGE, "tmpfs", flags, None)?;
    let filled = copy(place, Path::new(STAGE), fill, room).and_then(|()| like(&found, Path::new(STAGE)));
    let laid = filled.and_then(|()| Ok(rustix::mount::mount_move(STAGE, place)?));
    if laid.is_err() {
        rustix::mount::unmount(STAGE, UnmountFlags::DETACH).unwrap_or_default();
    }
    laid
}

/// Copies what belongs into memory, with its owners and rights. Sockets and devices are left out, and so is what is
/// mounted below.
fn copy(from: &Path, to: &Path, fill: Fill, room: &mut u64) -> io::Result<()> {
    if fill == Fill::Nothing {
        return Ok(());
    }
    let device = fs::metadata(from)?.dev();
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let found = fs::symlink_metadata(&source)?;
            if found.is_dir() && found.dev() == device {
                fs::create_dir(&target)?;
                folders.push((source, target.clone()));
            } else if fill == Fill::All && found.is_file() {
                *room = room.checked_sub(found.len()).ok_or_else(too_much)?;
                fs::copy(&source, &target)?;
            } else if fill == Fill::All && found.is_symlink() {
                symlink(fs::read_link(&source)?, &target)?;
            } else {
                continue;
            }
            like(&found, &target)?;
        }
    }
    Ok(())
}

fn too_much() -> io::Error {
    io::Error::other(format!("more than {} MiB", MOST >> 20))
}

/// Gives the owner and rights of one to the other.
fn like(found: &Metadata, path: &Path) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if found.is_symlink() {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(found.mode() & 0o7777))
}

/// Programs that have a file of the root open to write.
fn writers() -> Vec<String> {
    let Ok(root) = fs::metadata("/") else { return Vec::new() };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_process = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok())
    };
    let names = processes.filter(is_process).filter(|process| writes(process, root.dev())).map(|process| {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        format!("{} ({})", name.trim(), process.file_name().unwrap_or_default().to_string_lossy())
    });
    names.collect()
}

fn writes(process: &Path, device: u64) -> bool {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    open.map(|entry| entry.file_name()).any(|number| {
        let of_root = fs::metadata(process.join("fd").join(&number)).is_ok_and(|found| found.dev() == device);
        let flags = || fs::read_to_string(process.join("fdinfo").join(&number)).ok().and_then(|text| access(&text));
        of_root && flags().is_some_and(|access| access != 0)
    })
}

/// What a descriptor was opened for: 0 is to read.
fn access(text: &str) -> Option<u32> {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok().map(|flags| flags & 3)
}

#[cfg(test)]
mod tests;
