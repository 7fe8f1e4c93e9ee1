//! Where everything of one start is: paths, sizes, identity. What a driver turns into a `LaunchPlan`.
//! Knows no VMM. Sockets and logs have fixed names in the run folder, listed here and nowhere else.

use std::fmt;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use machine_core::machine::Generation;
use machine_core::{MachineId, MiB};
use serde::{Deserialize, Serialize};

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// The guest's one network card. Its frames go over the launch plan's wire to a companion, or to nobody if there
/// is none: each in a packet after its length, 32 bits in network order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its address.
    pub mac: MacAddress,
}

/// The root disk: an overlay over a base that the overlay's own header names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDisk {
    /// The machine's own qcow2 file.
    pub overlay: PathBuf,
}

/// What makes the guest run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// The kernel boots.
    Boot(Kernel),
    /// A kept state is loaded; the VMM then rests paused until `Control::resume`. The
    /// memory that belongs to it is in `Memory::backing`.
    Saved {
        /// What `Control::save_state` wrote.
        state: PathBuf,
    },
    /// A kept state will be loaded, by `Control::load`. Until then the VMM waits, for the folders that the machine
    /// saw to be attached again.
    Awaited,
}

/// What a boot boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// An uncompressed kernel with a PVH entry (vmlinux).
    pub kernel: PathBuf,
    /// The agent and the modules it needs to reach the root disk.
    pub initramfs: PathBuf,
    /// Kernel parameters on top of the driver's own.
    pub parameters: Vec<String>,
}

/// Guest memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How much.
    pub size: MiB,
    /// What it is made of.
    pub backing: Backing,
}

/// What guest memory is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backing {
    /// Anonymous memory of the VMM. Holds no saved machine.
    Anonymous,
    /// Memory of no file, which processes that the VMM hands it to may map, too. Holds no saved machine.
    Shared,
    /// A file that the guest's memory is written through to: an image in the making, or a machine's own copy of
    /// its image. Processes that the VMM hands it to may map it. For a boot nothing may be there yet: the VMM
    /// makes it, sparse, of the memory's size, for its owner alone.
    Kept(PathBuf),
    /// An image's file, mapped copy-on-write and opened for reading only. It must have the memory's size.
    Image(PathBuf),
}

/// A folder of the host that the guest may mount. A process serves it at a socket, in the vhost-user protocol, out
/// of the guest's own memory: that must be one that can be shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// What the guest knows it by: letters, digits and `-`, at most 36.
    pub tag: String,
    /// Where it is served.
    pub socket: PathBuf,
}

/// One start of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPlan {
    /// Whose start this is.
    pub machine: MachineId,
    /// Which start of the machine.
    pub generation: Generation,
    /// What makes the guest run.
    pub start: Start,
    /// The root disk.
    pub root: RootDisk,
    /// Virtual processors.
    pub cpus: NonZeroU8,
    /// Guest memory.
    pub memory: Memory,
    /// The network card, if it has one.
    pub nic: Option<Nic>,
    /// The folders of the host that it sees. Each is attached by `Control::attach`; a machine that has some rests
    /// until `Control::resume`, also where it boots.
    pub shares: Vec<Share>,
    /// The run folder.
    pub run: RunFolder,
}

/// The folder of one running machine: its sockets, its logs, and what its supervisor wrote down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The VMM's control socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.0.join("qmp.sock")
    }

    /// The agent's byte stream.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// The launch plan that the supervisor was given.
    #[must_use]
    pub fn plan_file(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    /// Who supervises; present once the VMM runs.
    #[must_use]
    pub fn supervisor_file(&self) -> PathBuf {
        self.0.join("supervisor.json")
    }

    /// How the VMM ended; present once it has.
    #[must_use]
    pub fn exit_file(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    /// What the supervisor itself had to say.
    #[must_use]
    pub fn supervisor_log(&self) -> PathBuf {
        self.0.join("supervisor.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_written_as_hex_pairs() {
        assert_eq!(MacAddress([0x52, 0x54, 0, 0x0a, 0xff, 1]).to_string(), "52:54:00:0a:ff:01");
    }
}
