//! Folders of the host that running machines see: whether they can, and what the host changes in them is passed on to
//! their guests.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::id::MachineId;
use crate::mount::MountSpec;
use crate::promise::guest::Guest;
use crate::promise::provider::ProviderError;

/// Whether machines of a place can be shown folders of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// By virtio-fs.
    Virtiofs,
    /// The host refuses what that takes. A guest can be given copies, by whoever asks for the machine.
    Refused {
        /// What it refuses, for people.
        why: String,
    },
}

/// What becomes of the folders of a running machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderNews {
    /// The guest sees all of them; what was noted before is over.
    Shown,
    /// Something that a person should know about one of them, for as long as it is shown.
    Noted {
        /// Which.
        folder: PathBuf,
        /// What.
        text: String,
    },
}

/// Where news of folders go. Cloned freely; never blocks.
#[derive(Clone)]
pub struct FolderEar(Arc<dyn Fn(FolderNews) + Send + Sync>);

impl FolderEar {
    /// Sends all of it to `hear`, which must not block.
    pub fn new(hear: impl Fn(FolderNews) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Sends one piece.
    pub fn tell(&self, news: FolderNews) {
        (self.0)(news);
    }
}

impl fmt::Debug for FolderEar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FolderEar")
    }
}

/// Shows guests folders, and tells them what the host changed.
#[async_trait]
pub trait Folders: Send + Sync {
    /// Whether folders can be shown here. Found out when it is first asked.
    async fn sharing(&self) -> Result<Sharing, ProviderError>;

    /// Tells the guest of a running machine what the host changes in the folders that it sees, until the machine
    /// ends or a folder is no more watched, which is how the death of what serves it is seen. To be called again
    /// then: it first sees to it that the guest sees its folders. `ear` hears how they are.
    async fn mirror(
        &self,
        machine: &MachineId,
        mounts: &[MountSpec],
        guest: Arc<dyn Guest>,
        ear: &FolderEar,
    ) -> Result<(), ProviderError>;
}
