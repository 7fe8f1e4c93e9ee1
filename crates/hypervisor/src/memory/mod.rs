//! The guest's memory, seen from the host while the VMM rests: the pages in which a machine differs from its image are
//! written to a file, and laid over another VMM's memory later. Needs nothing of the VMM but its process.
//!
//! ```text
//! server ──ask──▶ memory.sock ──▶ door.rs, a thread of the VMM's supervisor
//!                                   ├── save.rs ── pagemap.rs: which pages   regions.rs: where they are ──▶ pages file
//!                                   └── lay.rs  ◀── pages_file.rs: checked before the machine runs ───────── pages file
//! ```
//! The supervisor does it, since the kernel lets a process's parent look at its memory where it lets nobody else
//! (Yama's `ptrace_scope`). Digests are of the bytes as they were written and are checked as they are read.

mod ask;
pub(crate) mod door;
mod lay;
mod pagemap;
mod pages_file;
mod regions;
mod save;

use std::path::PathBuf;

use machine_core::Digest;
use serde::{Deserialize, Serialize};

use crate::boot_plan::Memory;

/// What a memory page has, in bytes: the host's and the guest's alike, on the one architecture that there is.
pub(crate) const PAGE: u64 = 4096;

/// Pages that were written to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPages {
    /// The file's length.
    pub bytes: u64,
    /// The file's digest.
    pub digest: Digest,
    /// Pages in which the machine differs from its image.
    pub pages: u64,
    /// How many of them hold nothing but zeros, and are not in the file.
    pub zero_pages: u64,
}

/// What is asked of a supervisor about its VMM's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Write what differs from the memory's backing to a new file, synced.
    Save { memory: Memory, to: PathBuf },
    /// Lay the file over the memory of a VMM that has not run.
    Lay { memory: Memory, from: PathBuf, digest: Digest },
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Saved(SavedPages),
    Laid,
    Failed(Failure),
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    DiskFull,
    Damaged(String),
    Host(String),
}

/// Why a VMM's memory was not saved or laid.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Nobody answers there: the VMM is ending, or an older version of ours started it.
    #[error("its supervisor does not answer at {}", socket.display())]
    Unreachable {
        /// Where.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk is full; nothing is left of the file.
    #[error("the disk is full: cannot write {}", file.display())]
    DiskFull {
        /// Which file.
        file: PathBuf,
    },
    /// The file is not what was saved.
    #[error("{}: {what}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The host refused something.
    #[error("{0}")]
    Host(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Host(error.to_string()),
        }
    }
}
