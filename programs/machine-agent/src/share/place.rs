//! From what the host said to where a folder is mounted. Nothing was changed yet.

use crate::failure::invalid;
use machine_agent_protocol::{Failed, GuestPath, Mount, MountAccess, Owner};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// A virtiofs tag has no more bytes.
const LONGEST_TAG: usize = 36;
const LONGEST_PATH: usize = 4095;
const MOST_EXCLUDES: usize = 128;
/// What the system is made of: nothing is mounted there, nor below.
const SYSTEM: [&str; 13] =
    ["/proc", "/sys", "/dev", "/run", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/boot"];
/// Folders that hold those of others: what is below them may be mounted at.
const SHARED: [&str; 11] =
    ["/", "/home", "/media", "/opt", "/root", "/srv", "/tmp", "/var", "/var/lib", "/var/log", "/var/tmp"];
/// Our own.
const OURS: &str = "/var/lib/machine";

/// A folder of the host, and where it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tag: String,
    pub(crate) target: PathBuf,
    pub(crate) access: MountAccess,
    /// Relative, each without a detour.
    pub(crate) excludes: Vec<PathBuf>,
    pub(crate) owner: Owner,
}

/// Reads what the host said.
pub(crate) fn parse(mount: Mount) -> Result<Place, Failed> {
    let tag = mount.tag;
    if tag.is_empty() || tag.len() > LONGEST_TAG || !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(format!("not a tag: {tag:.64?}")));
    }
    if mount.excludes.len() > MOST_EXCLUDES {
        return Err(invalid(format!("at most {MOST_EXCLUDES} excludes of a folder")));
    }
    let excludes: BTreeSet<PathBuf> = mount.excludes.iter().map(relative).collect::<Result<_, _>>()?;
    // The order of a set has each folder before what is below it, which the folder covers.
    let mut outermost: Vec<PathBuf> = Vec::new();
    for exclude in excludes {
        if !outermost.iter().any(|outer| exclude.starts_with(outer)) {
            outermost.push(exclude);
        }
    }
    let (access, owner) = (mount.access, mount.owner);
    Ok(Place { tag, target: target(&mount.target)?, access, excludes: outermost, owner })
}

/// A place where something may be mounted.
pub(super) fn target(said: &GuestPath) -> Result<PathBuf, Failed> {
    let path = plain(said)?;
    if !path.is_absolute() {
        return Err(invalid(format!("not an absolute path: {said}")));
    }
    check(&path)?;
    Ok(path)
}

/// Refuses what is the system's.
pub(super) fn check(path: &Path) -> Result<(), Failed> {
    let system = SYSTEM.iter().any(|folder| path.starts_with(folder)) || path.starts_with(OURS);
    if system || SHARED.iter().any(|folder| path == Path::new(folder)) {
        return Err(invalid(format!("{} is the system's: nothing of the host is mounted there", path.display())));
    }
    Ok(())
}

/// A path below a folder.
pub(super) fn relative(said: &GuestPath) -> Result<PathBuf, Failed> {
    let path = plain(said)?;
    if path.is_absolute() || path.as_os_str().is_empty() {
        return Err(invalid(format!("not a path below the folder: {said}")));
    }
    Ok(path)
}

/// Without detours, and without slashes at the end.
fn plain(said: &GuestPath) -> Result<PathBuf, Failed> {
    let bytes = said.as_bytes();
    if bytes.is_empty() || bytes.len() > LONGEST_PATH || bytes.contains(&0) {
        return Err(invalid("not a path"));
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::RootDir | Component::Normal(_) => path.push(component),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(invalid(format!("a path with `..`: {said}"))),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Mount {
        let (tag, target) = ("project".to_owned(), "/srv/ann/web/".into());
        Mount { tag, target, access: MountAccess::ReadWrite, excludes: Vec::new(), owner: Owner::default() }
    }

    #[test]
    fn nothing_is_mounted_over_the_system() {
        for path in ["/", "/proc", "/usr/local/lib", "/etc/ssh", "/home", "/run/x", "/var/lib/machine/x", "//etc//"] {
            let refused = parse(Mount { target: path.into(), ..sound() });
            assert!(refused.is_err(), "{path}");
        }
        for path in ["/workspace", "/srv/ann/web", "/etcetera", "/srv/www", "/var/www"] {
            assert!(parse(Mount { target: path.into(), ..sound() }).is_ok(), "{path}");
        }
    }

    #[test]
    fn what_leaves_the_folder_is_refused() {
        for path in ["", "..", "/x", "a/../../b", "a\0b", "."] {
            assert!(parse(Mount { excludes: vec![path.into()], ..sound() }).is_err(), "{path:?}");
        }
        for path in ["", "home/ann", "/srv/../etc", "/a\0b"] {
            assert!(parse(Mount { target: path.into(), ..sound() }).is_err(), "{path:?}");
        }
        for tag in ["", "a b", "a\n", &"x".repeat(37)] {
            assert!(parse(Mount { tag: tag.into(), ..sound() }).is_err(), "{tag:?}");
        }
        assert!(parse(Mount { excludes: vec!["x".into(); 200], ..sound() }).is_err());
    }

    #[test]
    fn an_exclude_below_another_is_covered_by_it() {
        let excludes = ["a/b", "./a/", "c", "ab"].map(GuestPath::from).to_vec();
        let place = parse(Mount { excludes, ..sound() }).unwrap();
        assert_eq!(place.excludes, ["a", "ab", "c"].map(PathBuf::from));
        assert_eq!(place.target, PathBuf::from("/srv/ann/web"));
    }
}
