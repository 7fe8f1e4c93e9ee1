//! A user's home: moved from the old name, or begun with what /etc/skel has. What is mounted below is left alone.

use super::books::Homes;
use machine_agent_protocol::EnsureUser;
use rustix::fs::{AtFlags, CWD, Gid, Uid};
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

const SKELETON: &str = "etc/skel";
const MODE: u32 = 0o755;

/// Makes the home. What is there already stays as it is.
pub(super) fn make(root: &Path, user: &EnsureUser, homes: &Homes) -> io::Result<()> {
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let new = inside(&homes.new);
    if let Some(parent) = new.parent() {
        fs::create_dir_all(parent)?;
    }
    let old = homes.old.as_deref().map(inside).filter(|old| is_folder(old));
    match fs::create_dir(&new) {
        Ok(()) => fs::set_permissions(&new, Permissions::from_mode(MODE))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    give(&new, user)?;
    match old {
        Some(old) => move_all(&old, &new)?,
        None => copy_missing(&root.join(SKELETON), &new, user)?,
    }
    give_all(&new, user)
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

fn give(path: &Path, user: &EnsureUser) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    Ok(rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Moves what the new home has not. A folder that keeps something, or that something is mounted at, stays.
fn move_all(old: &Path, new: &Path) -> io::Result<()> {
    for entry in fs::read_dir(old)? {
        let entry = entry?;
        let to = new.join(entry.file_name());
        if fs::symlink_metadata(&to).is_ok() {
            continue;
        }
        match fs::rename(entry.path(), to) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            moved => moved?,
        }
    }
    match fs::remove_dir(old) {
        Err(error) if [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::ResourceBusy].contains(&error.kind()) => Ok(()),
        removed => removed,
    }
}

/// Copies files, folders and links that are not there.
fn copy_missing(from: &Path, to: &Path, user: &EnsureUser) -> io::Result<()> {
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        for entry in fs::read_dir(&from).into_iter().flatten() {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((source.clone(), target.clone()));
            }
            if fs::symlink_metadata(&target).is_ok() {
                continue;
            }
            if kind.is_dir() {
                fs::create_dir(&target)?;
            } else if kind.is_symlink() {
                symlink(fs::read_link(&source)?, &target)?;
            } else if kind.is_file() {
                fs::copy(&source, &target)?;
            } else {
                continue;
            }
            give(&target, user)?;
        }
    }
    Ok(())
}

/// What was the user's by its number, and of another group, is of the group now. Not beyond the home's own file
/// system.
fn give_all(home: &Path, user: &EnsureUser) -> io::Result<()> {
    let device = fs::metadata(home)?.dev();
    let mut folders: Vec<PathBuf> = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // One that vanished needs no owner.
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            if found.dev() != device {
                continue;
            }
            if is_theirs(&found, user) && found.gid() != user.gid {
                give(&path, user)?;
            }
            if found.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(())
}

fn is_theirs(found: &Metadata, user: &EnsureUser) -> bool {
    found.uid() == user.uid
}
