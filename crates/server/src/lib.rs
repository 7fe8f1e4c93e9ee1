//! `/v1` over a Unix socket: reads requests, asks the engine's desk, writes answers. Holds no rules
//! of the lifecycle and no state of machines.
//!
//! ```text
//! serve (connections) ──▶ door (who asks, request id, panics) ──▶ routes ──▶ route/* ──▶ Desk
//!                                                                   └── work (progress, outlives its client)
//! ```

#![forbid(unsafe_code)]

mod credit;
mod door;
mod load;
mod log_news;
mod mount_wish;
mod network_wish;
mod page;
mod read;
mod refused;
mod route;
mod routes;
mod serve;
mod wish;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use machine_api::server::MachinesThen;
use machine_core::{MachineId, Refusal};
use machine_engine::Desk;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use serve::serve;

/// What the wiring gives the server.
pub struct Server {
    /// Who keeps the machines.
    pub desk: Desk,
    /// Where logs are read.
    pub logs: Arc<dyn Logs>,
    /// What the server says of itself.
    pub about: About,
    /// The user whose server this is: only that user and root may connect.
    pub uid: u32,
    /// Told when someone asks the server to end, and what is to become of the machines. The wiring
    /// then completes the `shutdown` future of `serve`.
    pub farewell: mpsc::Sender<MachinesThen>,
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: String,
    /// The folder of its installation.
    pub home: String,
}

/// Where logs of machines are read.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The guest's console since its last start, what is kept of it; nothing if it never ran.
    async fn boot_log(&self, machine: &MachineId) -> Result<Bytes, Refusal>;
}

/// What every route works with.
struct App {
    server: Server,
    /// Cancelled when the server ends: what has no end of its own ends then.
    ending: CancellationToken,
    /// Work that outlives its request.
    tasks: TaskTracker,
    /// The last look at each guest's processors.
    looks: load::Looks,
}
