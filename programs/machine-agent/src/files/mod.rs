//! Files of the guest for the host: one verb, one file.

pub(crate) mod change;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod stat;
pub(crate) mod write;

use machine_agent_protocol::GuestPath;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// How much is read or sent at once.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Chunks between a file thread and its stream.
pub(crate) const CHUNKS: usize = 2;

/// The path as the system takes it.
pub(crate) fn path(path: &GuestPath) -> PathBuf {
    PathBuf::from(OsString::from_vec(path.as_bytes().to_vec()))
}
