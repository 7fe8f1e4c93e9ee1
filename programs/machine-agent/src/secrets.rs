//! What only one user may read: files in memory, below /run/secrets. Nobody else is told, nothing is said of them.
//!
//! ```text
//! none ──put──▶ held ──put──▶ the others are held ──put of nothing, or the guest comes to rest──▶ none
//! ```
//! A secret that goes is written over with zeros first: its memory would go into an image as it is. What programs
//! made of it is theirs.

use crate::failure::{failed, invalid};
use crate::rights;
use machine_agent_protocol::{Answer, Failed, PutSecrets, Secret};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FOLDER: &str = "/run/secrets";
/// The first that the kernel knows is taken: the others may be written to a swap device.
const OPTIONS: [&CStr; 2] = [c"mode=0700,size=4m,noswap", c"mode=0700,size=4m"];
const LONGEST_NAME: usize = 128;
const ZEROS: [u8; 4096] = [0; 4096];

/// Holds just these.
pub(crate) async fn put(put: PutSecrets) -> Result<Answer, Failed> {
    check(&put)?;
    rights::with(None, move || {
        let folder = Path::new(FOLDER);
        let held = if put.secrets.is_empty() { forget(folder) } else { hold(folder, &put) };
        held.map_err(|error| failed("cannot hold the secrets", &error))
    })
    .await?;
    Ok(Answer::DONE)
}

/// Holds none any more.
pub(crate) async fn drop_all() -> Result<(), Failed> {
    rights::with(None, || forget(Path::new(FOLDER)).map_err(|error| failed("cannot take the secrets away", &error)))
        .await
}

fn check(put: &PutSecrets) -> Result<(), Failed> {
    let names: BTreeSet<&str> = put.secrets.iter().map(|secret| secret.name.as_str()).collect();
    let bytes: usize = put.secrets.iter().map(|secret| secret.value.len()).sum();
    if names.len() != put.secrets.len() || names.len() > PutSecrets::MOST || bytes > PutSecrets::LONGEST {
        return Err(invalid("too many secrets, too long ones, or two of one name"));
    }
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match names
        .into_iter()
        .find(|name| name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('.') || !plain(name))
    {
        Some(strange) => Err(invalid(format!("not a secret's name: {strange:.64?}"))),
        None => Ok(()),
    }
}

fn hold(folder: &Path, put: &PutSecrets) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if !is_mounted(folder)? {
        mount(folder)?;
    }
    // The folder's owner first: nobody but root can enter it while it is filled.
    own(folder, 0)?;
    let names: BTreeSet<&str> = put.secrets.iter().map(|secret| secret.name.as_str()).collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            erase(&entry.path())?;
        }
    }
    for secret in &put.secrets {
        write(folder, secret, put.uid)?;
    }
    own(folder, put.uid)
}

fn own(path: &Path, uid: u32) -> io::Result<()> {
    Ok(rustix::fs::chown(path, Some(Uid::from_raw(uid)), Some(Gid::ROOT))?)
}

/// Under another name first: nobody reads half a secret.
fn write(folder: &Path, secret: &Secret, uid: u32) -> io::Result<()> {
    let (new, path) = (folder.join(".new"), folder.join(&secret.name));
    erase(&new)?;
    let mut file = File::options().write(true).create_new(true).mode(0o400).open(&new)?;
    file.set_permissions(Permissions::from_mode(0o400))?;
    file.write_all(&secret.value)?;
    own(&new, uid)?;
    // Before its name is another's: the old one's memory is written over.
    erase(&path)?;
    fs::rename(&new, &path)
}

/// Takes all of them away, and the place.
fn forget(folder: &Path) -> io::Result<()> {
    if !is_mounted(folder)? {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        erase(&entry?.path())?;
    }
    // Whoever is in it keeps an empty folder.
    Ok(rustix::mount::unmount(folder, UnmountFlags::DETACH)?)
}

/// Writes zeros over a file and removes it. One that is not there is gone; a folder is somebody else's.
fn erase(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_dir() {
        return fs::remove_dir_all(path);
    }
    if found.is_file() {
        let mut file = File::options().write(true).open(path)?;
        let mut left = found.len();
        while left > 0 {
            let count = left.min(ZEROS.len() as u64);
            file.write_all(&ZEROS[..usize::try_from(count).unwrap_or(ZEROS.len())])?;
            left -= count;
        }
    }
    fs::remove_file(path)
}

fn is_mounted(folder: &Path) -> io::Result<bool> {
    let Some(parent) = folder.parent() else { return Ok(true) };
    match (fs::metadata(folder), fs::metadata(parent)) {
        (Ok(folder), Ok(parent)) => Ok(folder.dev() != parent.dev()),
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn mount(folder: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for options in OPTIONS {
        match rustix::mount::mount("secrets", folder, "tmpfs", flags, options) {
            // An older kernel knows no such option.
            Err(Errno::INVAL) => {}
            mounted => return Ok(mounted?),
        }
    }
    Err(Errno::INVAL.into())
}

#[cfg(test)]
mod tests;
