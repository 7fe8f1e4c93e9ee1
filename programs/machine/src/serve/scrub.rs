//! Reads every memory image whole from time to time: a disk that fails should be found before a machine is
//! made of what it lost.

use std::time::Duration;

use machine_core::promise::memory_image::MemoryImages;
use tracing::{info, warn};

const EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// Scrubs for as long as the server lives.
pub(super) async fn scrub(images: &dyn MemoryImages) {
    loop {
        tokio::time::sleep(EVERY).await;
        match images.scrub().await {
            Ok(damaged) => info!(damaged = damaged.len(), "memory images scrubbed"),
            Err(error) => warn!(%error, "memory images cannot be scrubbed"),
        }
    }
}
