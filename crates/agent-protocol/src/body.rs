//! What the agent answers. Field numbers are append-only.

use crate::message::BadMessage;
use crate::path::GuestPath;
use minicbor::{Decode, Encode};

/// What the agent is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum AgentState {
    /// It takes requests.
    #[n(0)]
    Ready,
    /// It powers the guest off.
    #[n(1)]
    PoweringOff,
}

/// A command runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Started {
    /// Its process id in the guest.
    #[n(0)]
    pub pid: u32,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Ending {
    /// By itself, with this code.
    #[n(0)]
    Code(#[n(0)] u32),
    /// By this signal.
    #[n(1)]
    Signal(#[n(0)] u32),
}

/// A command ended, and all that it wrote was sent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Exited {
    /// How.
    #[n(0)]
    pub ending: Ending,
    /// Because its time was up.
    #[n(1)]
    #[cbor(default)]
    pub timed_out: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum FileKind {
    /// A regular file.
    #[n(0)]
    File,
    /// A folder.
    #[n(1)]
    Directory,
    /// A symbolic link.
    #[n(2)]
    Symlink,
    /// A device, socket or pipe.
    #[n(3)]
    Other,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FileStat {
    /// What it is.
    #[n(0)]
    pub kind: FileKind,
    /// Its size in bytes.
    #[n(1)]
    pub size: u64,
    /// Its permission bits (07777).
    #[n(2)]
    pub mode: u32,
    /// Its owner.
    #[n(3)]
    pub uid: u32,
    /// Its group.
    #[n(4)]
    pub gid: u32,
    /// Last change of its content, nanoseconds since 1970.
    #[n(5)]
    pub modified_nanos: i64,
    /// Where a symbolic link leads.
    #[n(6)]
    pub target: Option<GuestPath>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Relative to the listed folder.
    #[n(0)]
    pub path: GuestPath,
    /// What it is; a link is not followed.
    #[n(1)]
    pub stat: FileStat,
}

impl Entry {
    /// The bytes of one line of a listing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// Reads a whole listing.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, BadMessage> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let mut entries = Vec::new();
        while decoder.position() < bytes.len() {
            let bad = |source| BadMessage { length: bytes.len(), source };
            entries.push(decoder.decode().map_err(bad)?);
        }
        Ok(entries)
    }
}

/// A file is open and its content follows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Opened {
    /// What it is.
    #[n(0)]
    pub stat: FileStat,
}

/// A file was written.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Written {
    /// How much.
    #[n(0)]
    pub bytes: u64,
}

/// Processes that want to run, in thousandths, as an average over one, five and fifteen minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct LoadAverage {
    /// One minute.
    #[n(0)]
    pub one: u64,
    /// Five minutes.
    #[n(1)]
    pub five: u64,
    /// Fifteen minutes.
    #[n(2)]
    pub fifteen: u64,
}

/// Sums over all interfaces but the loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct NetworkNumbers {
    /// Bytes that came.
    #[n(0)]
    pub received_bytes: u64,
    /// Bytes that went.
    #[n(1)]
    pub sent_bytes: u64,
}

/// How the guest is. Sums count from its boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Measured {
    /// Time since boot.
    #[n(0)]
    pub uptime_ms: u64,
    /// Processors.
    #[n(1)]
    pub cpus: u32,
    /// Processor time that was used, over all processors.
    #[n(2)]
    pub cpu_busy_ms: u64,
    /// Processor time that was not.
    #[n(3)]
    pub cpu_idle_ms: u64,
    /// Load.
    #[n(4)]
    pub load: LoadAverage,
    /// Memory that the kernel manages.
    #[n(5)]
    pub memory_total_bytes: u64,
    /// Memory that a new program could have.
    #[n(6)]
    pub memory_available_bytes: u64,
    /// Size of the root file system.
    #[n(7)]
    pub disk_total_bytes: u64,
    /// What is left of it.
    #[n(8)]
    pub disk_available_bytes: u64,
    /// Bytes read from block devices.
    #[n(9)]
    pub disk_read_bytes: u64,
    /// Bytes written to block devices.
    #[n(10)]
    pub disk_written_bytes: u64,
    /// The network.
    #[n(11)]
    #[cbor(default)]
    pub network: NetworkNumbers,
    /// Processes.
    #[n(12)]
    pub processes: u32,
}
