//! The server itself: what it is, and how it is asked to end.

use machine_core::promise::folders::Sharing;
use serde::{Deserialize, Serialize};

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The folder of its installation.
    pub home: String,
    /// How guests run here, for people. Left out if this host cannot run machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// What this host has to give. Left out if this host cannot run machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityInfo>,
    /// Whether machines can be shown folders here. Left out if that cannot be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folders: Option<FoldersInfo>,
}

/// Whether machines can be shown folders of the host: `{"shared": "virtiofs"}`, `{"shared": "refused", "why": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shared", rename_all = "snake_case")]
pub enum FoldersInfo {
    /// By virtio-fs.
    Virtiofs,
    /// This host refuses what that takes.
    Refused {
        /// What it refuses, for people.
        why: String,
    },
}

impl From<Sharing> for FoldersInfo {
    fn from(sharing: Sharing) -> Self {
        match sharing {
            Sharing::Virtiofs => Self::Virtiofs,
            Sharing::Refused { why } => Self::Refused { why },
        }
    }
}

/// What a host has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityInfo {
    /// Its processors.
    pub vcpus: u32,
    /// Its memory in MiB.
    pub memory_mb: u64,
}

/// `{"status": "ok"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

/// Asks the server to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// What becomes of the machines that run.
    pub machines: MachinesThen,
}

/// What becomes of running machines when the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachinesThen {
    /// They go on; the next server finds them.
    Leave,
    /// They are stopped first.
    Stop,
}
