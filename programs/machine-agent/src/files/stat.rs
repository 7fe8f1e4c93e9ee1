//! What is known of a file, for the host.

use machine_agent_protocol::{FileKind, FileStat, GuestPath};
use std::fs::Metadata;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Describes a file from its metadata; `path` only to see where a link leads.
pub(crate) fn describe(path: &Path, metadata: &Metadata) -> FileStat {
    let kind = metadata.file_type();
    let target = kind.is_symlink().then(|| std::fs::read_link(path).ok()).flatten();
    FileStat {
        kind: if kind.is_file() {
            FileKind::File
        } else if kind.is_dir() {
            FileKind::Directory
        } else if kind.is_symlink() {
            FileKind::Symlink
        } else {
            FileKind::Other
        },
        size: metadata.size(),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified_nanos: metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec()),
        target: target.map(|target| GuestPath::from(target.into_os_string().into_vec())),
    }
}
