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
    /// ends or a folder is no more watched. Called once for each guest that was reached.
    async fn mirror(
        &self,
        machine: &MachineId,
        mounts: &[MountSpec],
        guest: Arc<dyn Guest>,
    ) -> Result<(), ProviderError>;
}
