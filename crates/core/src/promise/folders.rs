//! Folders of the host that running machines see: what the host changes in them is passed on to their guests.

use std::sync::Arc;

use async_trait::async_trait;

use crate::id::MachineId;
use crate::mount::MountSpec;
use crate::promise::guest::Guest;
use crate::promise::provider::ProviderError;

/// Tells guests what the host changed.
#[async_trait]
pub trait Folders: Send + Sync {
    /// Tells the guest of a running machine what the host changes in the folders that it sees, until the machine
    /// ends or a folder is no more watched, which is how the death of what serves it is seen. To be called again
    /// then: it first sees to it that the guest sees its folders.
    async fn mirror(
        &self,
        machine: &MachineId,
        mounts: &[MountSpec],
        guest: Arc<dyn Guest>,
    ) -> Result<(), ProviderError>;
}
