//! A folder of the host that a machine sees: asked for and answered in one form.

use machine_core::mount::{Access, MountSpec};
use serde::{Deserialize, Serialize};

use crate::word::AccessWord;

/// A folder of the host in a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The host's folder: absolute, and without links on the way.
    pub source: String,
    /// Where the guest sees it: absolute.
    pub target: String,
    /// What the guest may do; everything if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessWord>,
    /// Folders below it that are the guest's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// What below it the guest cannot change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<String>,
}

impl Mount {
    /// The wire's view of a mount.
    #[must_use]
    pub fn of(mount: &MountSpec) -> Self {
        Self {
            source: mount.source.to_string_lossy().into_owned(),
            target: mount.target.clone(),
            access: Some(mount.access.into()),
            exclude: mount.exclude.clone(),
            guard: mount.guard.clone(),
        }
    }

    /// What the guest may do.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access.map_or_else(Access::default, Into::into)
    }
}
