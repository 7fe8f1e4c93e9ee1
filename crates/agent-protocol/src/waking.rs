//! How a guest becomes a machine, and how it comes to rest. Field numbers are append-only.

use crate::share::Mount;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;
use std::fmt;

/// Where a guest's memory came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum WakeOrigin {
    /// Its own boot.
    #[n(0)]
    Boot,
    /// The memory image of a template.
    #[n(1)]
    Image,
    /// The machine's own: it was hibernated.
    #[n(2)]
    Saved,
}

/// Become this machine, all of it, before anything else is asked. Answered by `Woken`.
///
/// Nothing is changed if a part makes no sense. Said twice, it is as said once.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WakeAs {
    /// The machine's id.
    #[n(0)]
    pub id: String,
    /// Which launch of it.
    #[n(1)]
    pub generation: u64,
    /// Where the memory came from.
    #[n(2)]
    pub origin: WakeOrigin,
    /// The wall clock, in nanoseconds since 1970, when this was sent.
    #[n(3)]
    pub unix_nanos: u64,
    /// Bytes to stir into the kernel's random numbers, at least 16.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub entropy: Vec<u8>,
    /// The host name.
    #[n(5)]
    pub hostname: String,
    /// 32 hexadecimal digits.
    #[n(6)]
    pub machine_id: String,
    /// The address of the network card; as it is, if absent.
    #[n(7)]
    #[cbor(with = "minicbor::bytes")]
    pub mac: Option<[u8; 6]>,
    /// Its address in the network; as it is, if absent.
    #[n(8)]
    pub address: Option<WakeAddress>,
    /// The environment of every command started from now on.
    #[n(9)]
    #[cbor(default)]
    pub env: BTreeMap<String, String>,
    /// Replace every SSH host key that there is; none keeps those that there are.
    #[n(10)]
    #[cbor(default)]
    pub ssh_host_keys: Vec<HostKey>,
    /// The size of the root disk; the guest waits until it sees it and grows its file system.
    #[n(11)]
    pub root_bytes: Option<u64>,
    /// Certificate authorities, each one PEM certificate, that the guest trusts beside its own, in place of those
    /// that it was told before; those stay, if absent.
    #[n(12)]
    pub certificate_authorities: Option<Vec<String>>,
    /// Folders of the host, which are there before any hook runs.
    #[n(13)]
    pub mounts: Option<Vec<Mount>>,
    /// What may be done to the root file system; as it is, if absent.
    #[n(14)]
    pub root: Option<WakeRoot>,
}

impl WakeAs {
    /// No machine sees more folders of the host.
    pub const MOST_MOUNTS: usize = 32;
}

/// What may be done to the root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum WakeRoot {
    /// All.
    #[n(0)]
    Writable,
    /// It cannot be written to. What programs must write lies in memory.
    #[n(1)]
    ReadOnly,
}

/// An IPv4 address and what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WakeAddress {
    /// The guest's own.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub ip: [u8; 4],
    /// Leading bits that the network shares, at most 32.
    #[n(1)]
    pub prefix: u8,
    /// Where everything else is.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub gateway: Option<[u8; 4]>,
    /// Who resolves names.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub dns: Option<[u8; 4]>,
}

/// An SSH host key as OpenSSH keeps it.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HostKey {
    /// The word in its file's name: `ed25519`.
    #[n(0)]
    pub kind: String,
    /// The private half, as a file.
    #[n(1)]
    pub private: String,
    /// The public half, as a file.
    #[n(2)]
    pub public: String,
}

/// The guest is the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Woken {
    /// Hooks that failed, each with how it ended.
    #[n(0)]
    #[cbor(default)]
    pub failed_hooks: Vec<String>,
    /// How many folders of the host are there; an agent that knows none says nothing.
    #[n(1)]
    pub mounts: Option<u32>,
    /// What may be done to the root, if it was asked for.
    #[n(2)]
    pub root: Option<WakeRoot>,
}

/// Come to rest, so that the guest can be kept. Answered by `Settled`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Settle {
    /// Certificate authorities that the guest trusts from now on, as in `WakeAs`: a machine that is woken with the
    /// same ones has them already. `None` leaves it as it is.
    #[n(0)]
    pub certificate_authorities: Option<Vec<String>>,
}

/// The guest rests: what was to be written is on its disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Settled {
    /// The kinds of SSH host keys that it holds.
    #[n(0)]
    #[cbor(default)]
    pub ssh_host_keys: Vec<String>,
}

impl fmt::Debug for WakeAs {
    /// Without its secrets: entropy, keys, and the environment's values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeAs")
            .field("id", &self.id)
            .field("generation", &self.generation)
            .field("origin", &self.origin)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HostKey {
    /// Without the private half.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("kind", &self.kind).field("public", &self.public).finish_non_exhaustive()
    }
}
