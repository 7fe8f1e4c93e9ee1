//! Folders of the host whose changes nobody watches: what is told of them is proven with real machines.

use std::sync::Arc;

use async_trait::async_trait;
use machine_core::MachineId;
use machine_core::mount::MountSpec;
use machine_core::promise::folders::{FolderEar, Folders, Sharing};
use machine_core::promise::guest::Guest;
use machine_core::promise::provider::ProviderError;

/// See the module.
pub(crate) struct FakeFolders;

#[async_trait]
impl Folders for FakeFolders {
    async fn sharing(&self) -> Result<Sharing, ProviderError> {
        Ok(Sharing::Virtiofs)
    }

    async fn mirror(
        &self,
        _: &MachineId,
        _: &[MountSpec],
        _: Arc<dyn Guest>,
        _: &FolderEar,
    ) -> Result<(), ProviderError> {
        std::future::pending().await
    }
}
