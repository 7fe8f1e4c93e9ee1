//! Why a build of a template ended without one, and what the person can do about it.

use std::io;
use std::path::PathBuf;

use crate::apt::AptError;
use crate::debian::RootfsError;
use crate::disk::DiskError;
use crate::host_sources::SourcesError;
use crate::kernel::KernelError;
use crate::registry::RegistryError;
use crate::template::TemplateError;
use crate::tool::ToolError;

/// Why no template was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The host's apt sources are of no use.
    #[error("cannot use the host's apt sources")]
    Sources(#[from] SourcesError),
    /// A tool is missing or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The mirror could not be asked.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// There is no kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Packages of another registry than Debian's could not be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The recipe is for another release than the host's.
    #[error("the recipe asks for {asked}, and this host's package sources are for {here}")]
    OtherRelease {
        /// What the recipe says.
        asked: String,
        /// What the host has.
        here: String,
    },
    /// The machine did not rest while its disk was read.
    #[error("the machine was started while its disk was read: {}", disk.display())]
    Restless {
        /// The disk.
        disk: PathBuf,
    },
    /// There is no root file system.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// There is no root disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It could not be put in its place, or the one in place is damaged.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file could not be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is too little space to begin.
    #[error("{} has too little free space: {free} bytes of the {needed} that a build needs", path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// What is free.
        free: u64,
        /// What is needed.
        needed: u64,
    },
}

impl BuildError {
    /// What the person can do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if self.is_disk_full() {
            return Some("free some space, then build again".to_owned());
        }
        match self {
            Self::Sources(error) => Some(error.hint().to_owned()),
            Self::Template(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::OtherRelease { here, .. } => Some(format!("leave the base out, or ask for {here}")),
            Self::Apt(AptError::NoPackage { .. }) => Some("look for its name: `apt-cache search`".to_owned()),
            Self::DiskFull { .. } | Self::Io { .. } | Self::Restless { .. } => None,
            Self::Tool(_) | Self::Apt(_) | Self::Kernel(_) | Self::Rootfs(_) | Self::Disk(_) => {
                self.tool().and_then(ToolError::hint)
            }
        }
    }

    /// The tool's failure that is at the bottom of it.
    #[must_use]
    pub fn tool(&self) -> Option<&ToolError> {
        match self {
            Self::Tool(error)
            | Self::Apt(AptError::Tool(error))
            | Self::Kernel(KernelError::Tool(error) | KernelError::Apt(AptError::Tool(error)))
            | Self::Rootfs(RootfsError::Tool(error))
            | Self::Registry(RegistryError::Tool(error))
            | Self::Disk(DiskError::Tool(error)) => Some(error),
            Self::Sources(_)
            | Self::Apt(_)
            | Self::Kernel(_)
            | Self::Rootfs(_)
            | Self::Disk(_)
            | Self::Template(_)
            | Self::Registry(_)
            | Self::OtherRelease { .. }
            | Self::Restless { .. }
            | Self::Io { .. }
            | Self::DiskFull { .. } => None,
        }
    }

    /// Whether the disk was, or would have been, full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let full = |source: &io::Error| source.kind() == io::ErrorKind::StorageFull;
        match self {
            Self::DiskFull { .. } => true,
            Self::Io { source, .. }
            | Self::Template(TemplateError::Io { source, .. })
            | Self::Registry(RegistryError::File { source, .. })
            | Self::Disk(DiskError::File { source, .. })
            | Self::Kernel(KernelError::File { source, .. } | KernelError::Apt(AptError::Prepare { source, .. }))
            | Self::Rootfs(RootfsError::Extras { source, .. })
            | Self::Apt(AptError::Prepare { source, .. }) => full(source),
            Self::Tool(_)
            | Self::Apt(_)
            | Self::Kernel(_)
            | Self::Rootfs(_)
            | Self::Disk(_)
            | Self::Sources(_)
            | Self::Registry(_)
            | Self::OtherRelease { .. }
            | Self::Restless { .. }
            | Self::Template(_) => matches!(self.tool(), Some(ToolError::DiskFull { .. })),
        }
    }
}
