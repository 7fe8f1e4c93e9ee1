//! How a guest becomes a machine, and what it says of itself. One message makes a restored guest somebody:
//! before it answered, nobody but us reaches it.

use std::net::Ipv4Addr;

use jiff::Timestamp;

use crate::id::MachineId;
use crate::machine::Generation;
use crate::promise::guest::Identity;
use crate::promise::project::GuestMount;
use crate::spec::RootLife;

/// How many fresh random bytes a guest is given.
pub const FRESH_ENTROPY: usize = 64;

/// Everything that a guest must become before it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct Awakening {
    /// Which machine it is.
    pub machine: MachineId,
    /// Which launch of it.
    pub generation: Generation,
    /// Where its memory came from.
    pub origin: Origin,
    /// Its names and its commands' environment.
    pub identity: Identity,
    /// The wall clock, taken as late as possible.
    pub now: Timestamp,
    /// Fresh random bytes for its kernel.
    pub entropy: [u8; FRESH_ENTROPY],
    /// The address of its network card; as it is, if absent.
    pub mac: Option<[u8; 6]>,
    /// Its address in the network; as it is, if absent.
    pub address: Option<GuestAddress>,
    /// SSH host keys that replace all that it has. Empty: it keeps those it has.
    pub ssh_host_keys: Vec<SshHostKey>,
    /// Certificate authorities that the guest trusts beside its own, each one PEM certificate.
    pub certificate_authorities: Vec<String>,
    /// The size in bytes that its root disk has now; its file system is grown to it.
    pub root_bytes: Option<u64>,
    /// Folders of the host, which are there before any program of the machine's.
    pub mounts: Vec<GuestMount>,
    /// Whether its root can be written to. What else becomes of it is not the guest's business.
    pub root: RootLife,
}

/// Where a guest's memory came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its own boot.
    Boot,
    /// The memory image of a template.
    Image,
    /// The machine's own: it was hibernated.
    Saved,
}

/// An address in the machine's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestAddress {
    /// The guest's address.
    pub ip: Ipv4Addr,
    /// Leading bits that its network shares, at most 32.
    pub prefix: u8,
    /// Where everything else is.
    pub gateway: Option<Ipv4Addr>,
    /// Who resolves names.
    pub dns: Option<Ipv4Addr>,
}

/// One SSH host key, as OpenSSH keeps it in `/etc/ssh`.
#[derive(Clone, PartialEq, Eq)]
pub struct SshHostKey {
    /// The word in its file's name: `ed25519`.
    pub kind: String,
    /// The private half, OpenSSH's PEM.
    pub private: String,
    /// The public half, one line.
    pub public: String,
}

/// What waking led to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Woken {
    /// The hooks in `/etc/machine/resume.d` that failed, each with how it ended.
    pub failed_hooks: Vec<String>,
}

/// A guest that came to rest and can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// The kinds of SSH host keys that it holds: a machine made of it needs its own.
    pub ssh_host_keys: Vec<String>,
}

/// How a guest is, in its own words. Sums count from its boot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Milliseconds that its processors worked, all together.
    pub cpu_busy_ms: u64,
    /// Milliseconds that its processors rested, all together.
    pub cpu_idle_ms: u64,
    /// Its processors.
    pub cpus: u32,
    /// All its memory, in bytes.
    pub memory_total_bytes: u64,
    /// What of it can be had without swapping.
    pub memory_available_bytes: u64,
    /// The size of its root file system.
    pub disk_total_bytes: u64,
    /// What of it is free.
    pub disk_available_bytes: u64,
    /// Bytes that came over its network.
    pub network_received_bytes: u64,
    /// Bytes that went.
    pub network_sent_bytes: u64,
    /// Its processes.
    pub processes: u32,
}

impl std::fmt::Debug for Awakening {
    /// Without its secrets: entropy, keys, and the environment's values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Awakening")
            .field("machine", &self.machine)
            .field("generation", &self.generation)
            .field("origin", &self.origin)
            .field("hostname", &self.identity.hostname)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SshHostKey {
    /// Without the private half.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshHostKey").field("kind", &self.kind).field("public", &self.public).finish_non_exhaustive()
    }
}
