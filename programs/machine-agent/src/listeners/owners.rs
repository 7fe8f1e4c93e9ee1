//! Which process has a socket. One that ends meanwhile has none.

use machine_agent_protocol::Listeners;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A process with a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) program: String,
}

impl Owner {
    pub(super) fn is_us(&self) -> bool {
        self.pid == std::process::id()
    }
}

/// The processes that have these sockets, by the sockets' inodes.
pub(super) fn of(inodes: &[u64]) -> BTreeMap<u64, Owner> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        for inode in sockets_of(&entry.path()) {
            if inodes.contains(&inode) && !found.contains_key(&inode) {
                found.insert(inode, Owner { pid, program: name_of(&entry.path()) });
            }
        }
        if found.len() == inodes.len() {
            break;
        }
    }
    found
}

fn sockets_of(process: &Path) -> impl Iterator<Item = u64> {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// What the process calls itself; it may be anything, so it is made plain.
fn name_of(process: &Path) -> String {
    let said = fs::read(process.join("comm")).unwrap_or_default();
    let plain = String::from_utf8_lossy(&said).trim().replace(char::is_control, "?");
    let end =
        plain.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= Listeners::LONGEST_PROGRAM);
    plain[..end.last().unwrap_or(0)].to_owned()
}
