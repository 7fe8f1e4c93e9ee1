//! The promises that the engine is given, and what surrounds it: time and chance.

use std::sync::Arc;

use jiff::Timestamp;
use machine_core::id::ID_ENTROPY;
use machine_core::promise::folders::Folders;
use machine_core::promise::image_source::ImageSource;
use machine_core::promise::ledger::Ledger;
use machine_core::promise::memory_image::MemoryImages;
use machine_core::promise::network::Networks;
use machine_core::promise::provider::Provider;

/// Everything the engine relies on.
#[derive(Clone)]
pub struct Promises {
    /// The durable memory.
    pub ledger: Arc<dyn Ledger>,
    /// The place that holds machines.
    pub provider: Arc<dyn Provider>,
    /// Where templates come from.
    pub images: Arc<dyn ImageSource>,
    /// Memory images of them.
    pub memory_images: Arc<dyn MemoryImages>,
    /// The networks of running machines.
    pub networks: Arc<dyn Networks>,
    /// Folders of the host that running machines see.
    pub folders: Arc<dyn Folders>,
    /// Time and chance.
    pub surroundings: Arc<dyn Surroundings>,
}

/// Time and chance, given from outside so that tests can hold them still.
pub trait Surroundings: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Fresh random bytes.
    fn entropy(&self) -> [u8; ID_ENTROPY];
}
