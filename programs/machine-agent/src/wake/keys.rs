//! The guest's SSH host keys: which there are, and others in their place.

use crate::content;
use machine_agent_protocol::HostKey;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const FOLDER: &str = "/etc/ssh";
const DAEMON: &str = "/run/sshd.pid";

/// Whether anything was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    None,
    Some,
}

/// The kinds of keys in the folder, in order.
pub(crate) fn kinds(folder: &Path) -> Vec<String> {
    let names = names(folder);
    let mut kinds: Vec<String> = names
        .iter()
        .filter_map(|name| Some(name.strip_prefix("ssh_host_")?.strip_suffix("_key")?.to_owned()))
        .collect();
    kinds.sort();
    kinds
}

/// Leaves just these keys in the folder, and tells a daemon that serves others. None leaves all as it is.
pub(crate) fn replace(folder: &Path, keys: &[HostKey]) -> io::Result<Replaced> {
    if keys.is_empty() {
        return Ok(Replaced::None);
    }
    fs::create_dir_all(folder)?;
    let mut wanted = Vec::new();
    for key in keys {
        let name = format!("ssh_host_{}_key", key.kind);
        content::replace(&folder.join(&name), &key.private, 0o600)?;
        content::replace(&folder.join(format!("{name}.pub")), &key.public, 0o644)?;
        wanted.extend([format!("{name}.pub"), name]);
    }
    let is_key =
        |name: &String| name.starts_with("ssh_host_") && (name.ends_with("_key") || name.ends_with("_key.pub"));
    let strangers: Vec<PathBuf> = names(folder)
        .into_iter()
        .filter(|name| is_key(name) && !wanted.contains(name))
        .map(|name| folder.join(name))
        .collect();
    strangers.iter().try_for_each(|path| content::remove(path))?;
    Ok(Replaced::Some)
}

/// A daemon keeps the keys that it read when it began: it reads them anew.
pub(crate) fn tell_daemon() {
    let pid = fs::read_to_string(DAEMON).ok().and_then(|text| text.trim().parse().ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else { return };
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
    if name.trim_end() == "sshd" {
        // One that has just ended needs no word.
        kill_process(pid, Signal::HUP).unwrap_or_default();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn key(kind: &str) -> HostKey {
        HostKey { kind: kind.into(), private: format!("private {kind}\n"), public: format!("public {kind}\n") }
    }

    #[test]
    fn only_the_given_keys_are_left() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ssh_host_rsa_key", "ssh_host_rsa_key.pub", "ssh_host_ed25519_key", "sshd_config"] {
            fs::write(folder.path().join(name), "of the image").unwrap();
        }
        assert_eq!(kinds(folder.path()), ["ed25519", "rsa"]);
        for _ in 0..2 {
            replace(folder.path(), &[key("ed25519"), key("ecdsa")]).unwrap();
            assert_eq!(kinds(folder.path()), ["ecdsa", "ed25519"]);
            assert_eq!(names(folder.path()).len(), 5);
        }
        let private = folder.path().join("ssh_host_ed25519_key");
        assert_eq!(fs::read_to_string(&private).unwrap(), "private ed25519\n");
        assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_keys_leave_those_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ssh_host_rsa_key"), "x").unwrap();
        replace(folder.path(), &[]).unwrap();
        assert_eq!(kinds(folder.path()), ["rsa"]);
        assert!(kinds(&folder.path().join("none")).is_empty());
    }
}
