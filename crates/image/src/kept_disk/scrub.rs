//! Takes away what made a file system one machine's: its names, its keys, its chance. Without mounting it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::debian::HOSTS;
use crate::disk::DiskError;
use crate::tool::{DEBUGFS, ToolError};

/// Files that are put back as a new template has them: folder, name, mode, content.
const ANEW: [(&str, &str, &str, &str); 4] = [
    ("/etc", "machine-id", "0100444", ""),
    ("/etc", "hostname", "0100644", "machine\n"),
    ("/etc", "hosts", "0100644", HOSTS),
    ("/etc", "resolv.conf", "0100644", ""),
];
/// Files that the next one makes for itself.
const GONE: [&str; 4] = [
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/var/lib/NetworkManager/secret_key",
];
const SSH: &str = "/etc/ssh";
const SSH_KEY: &str = "ssh_host_";

/// Scrubs `image`, with the help of the folder `work`.
pub(super) fn scrub(image: &Path, work: &Path) -> Result<(), DiskError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| DiskError::File { path, source }
    };
    let keys = ssh_keys(image)?;
    for (_, name, _, content) in ANEW {
        let path = work.join(name);
        fs::write(&path, content).map_err(at(&path))?;
    }
    let script = work.join("scrub");
    fs::write(&script, commands(&keys)).map_err(at(&script))?;
    let mut command = DEBUGFS.command()?;
    // What is written is named relative to here: a path of ours could hold a blank.
    command.current_dir(work).args(["-w", "-f", "scrub"]).arg(image);
    DEBUGFS.run(command, &|_| ())?;
    let named = read(image, "/etc/machine-id")?;
    if named.is_empty() && ssh_keys(image)?.is_empty() { Ok(()) } else { Err(unscrubbed()) }
}

fn unscrubbed() -> DiskError {
    DiskError::Unexpected { reason: "what was its machine's own cannot be taken out" }
}

/// The content of a file; nothing where there is none.
pub(super) fn read(image: &Path, path: &str) -> Result<Vec<u8>, ToolError> {
    ask(image, &format!("cat {path}"))
}

fn ssh_keys(image: &Path) -> Result<Vec<String>, ToolError> {
    let listing = ask(image, &format!("ls -p {SSH}"))?;
    Ok(keys_in(&String::from_utf8_lossy(&listing)))
}

fn ask(image: &Path, question: &str) -> Result<Vec<u8>, ToolError> {
    let mut command = DEBUGFS.command()?;
    command.args(["-R", question]).arg(image);
    // It greets on its error stream, each time.
    DEBUGFS.run(command, &|_| ())
}

/// `/inode/mode/uid/gid/name/size/`, a line each. The names are the guest's: only plain ones are passed on.
fn keys_in(listing: &str) -> Vec<String> {
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    let names = listing.lines().filter_map(|line| line.split('/').nth(5));
    names.filter(|name| name.starts_with(SSH_KEY)).filter(plain).map(|name| format!("{SSH}/{name}")).collect()
}

fn commands(keys: &[String]) -> String {
    let mut text = String::new();
    for path in GONE.iter().copied().chain(keys.iter().map(String::as_str)) {
        let _ = writeln!(text, "rm {path}");
    }
    for (folder, name, mode, _) in ANEW {
        let _ = writeln!(text, "rm {folder}/{name}\ncd {folder}\nwrite {name} {name}");
        for (field, value) in [("mode", mode), ("uid", "0"), ("gid", "0")] {
            let _ = writeln!(text, "set_inode_field {name} {field} {value}");
        }
        let _ = writeln!(text, "cd /");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_keys_with_plain_names_are_removed() {
        let listing = "/2/040755/0/0/./4096/\n/12/100600/0/0/ssh_host_rsa_key/2590/\n/13/100644/0/0/ssh_config/1/\n/14/100644/0/0/ssh_host_x y/1/\n";
        assert_eq!(keys_in(listing), ["/etc/ssh/ssh_host_rsa_key"]);
    }
}
