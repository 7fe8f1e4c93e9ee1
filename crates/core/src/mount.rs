//! Folders of the host that a machine sees as its own, and what it may do to them. Who serves them is decided
//! by the provider.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A folder of the host in a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// The host's folder: absolute, without links on the way.
    pub source: PathBuf,
    /// Where the guest sees it: absolute, not `/`.
    pub target: String,
    /// What the guest may do.
    pub access: Access,
    /// Folders below it, relative, that the guest sees as its own and the host does not see.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Files and folders below it, relative, that the guest may read and not change, whether they are there or not.
    #[serde(default)]
    pub guard: Vec<String>,
}

/// What a guest may do to a folder of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Everything that the folder's owner may do.
    #[default]
    ReadWrite,
    /// Read it.
    ReadOnly,
}
