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
mod tests {
    use super::*;

    fn put(names: &[&str], bytes: usize) -> PutSecrets {
        let secret = |name: &&str| Secret { name: (*name).to_owned(), value: vec![b'x'; bytes] };
        PutSecrets { secrets: names.iter().map(secret).collect(), uid: 0 }
    }

    #[test]
    fn a_secret_has_a_files_name_and_there_are_not_too_many() {
        assert!(check(&put(&["API_KEY", "a.b-c"], 5)).is_ok());
        for names in [&["../x"][..], &["."], &[".new"], &[""], &["a/b"], &["a", "a"], &["a\0b"]] {
            assert!(check(&put(names, 1)).is_err(), "{names:?}");
        }
        assert!(check(&put(&["a"], PutSecrets::LONGEST + 1)).is_err());
        let many: Vec<String> = (0..=PutSecrets::MOST).map(|number| number.to_string()).collect();
        assert!(check(&put(&many.iter().map(String::as_str).collect::<Vec<_>>(), 0)).is_err());
    }

    const INSIDE: &str = "MACHINE_AGENT_TEST_SECRETS";

    #[test]
    fn secrets_are_held_in_memory_replaced_and_forgotten() {
        if let Some(folder) = std::env::var_os(INSIDE) {
            return hold_and_forget(Path::new(&folder));
        }
        let folder = tempfile::tempdir().unwrap();
        let mut inside = std::process::Command::new("unshare");
        let name = "secrets::tests::secrets_are_held_in_memory_replaced_and_forgotten";
        inside.arg("-m").arg(std::env::current_exe().unwrap()).args(["--exact", name]).env(INSIDE, folder.path());
        let possible = std::process::Command::new("unshare").args(["-m", "true"]).output();
        if !possible.is_ok_and(|output| output.status.success()) {
            writeln!(io::stderr(), "not checked: no mount namespaces here").unwrap();
            return;
        }
        let output = inside.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    fn hold_and_forget(parent: &Path) {
        let folder = parent.join("secrets");
        let both = PutSecrets { uid: 4321, ..put(&["A", "B"], 5) };
        for _ in 0..2 {
            hold(&folder, &both).unwrap();
            let found = fs::metadata(folder.join("A")).unwrap();
            assert_eq!((found.uid(), found.permissions().mode() & 0o7777), (4321, 0o400));
            let found = fs::metadata(&folder).unwrap();
            assert_eq!((found.uid(), found.permissions().mode() & 0o7777), (4321, 0o700));
            assert_ne!(found.dev(), fs::metadata(parent).unwrap().dev());
        }
        fs::create_dir(folder.join("theirs")).unwrap();
        hold(&folder, &put(&["B"], 3)).unwrap();
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!((names, fs::read(folder.join("B")).unwrap()), (vec!["B".into()], b"xxx".to_vec()));
        for _ in 0..2 {
            forget(&folder).unwrap();
            assert!(!is_mounted(&folder).unwrap());
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_secret_is_not_shown_and_what_goes_is_written_over() {
        assert!(!format!("{:?}", put(&["a"], 5)).contains("xxxxx"));
        assert!(!format!("{:?}", put(&["a"], 5)).contains("120"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "secret").unwrap();
        let reader = File::open(&path).unwrap();
        erase(&path).unwrap();
        erase(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(io::read_to_string(reader).unwrap(), "\0".repeat(6));
    }
}
