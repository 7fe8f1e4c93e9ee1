//! The wire types of `/v1`: what goes over the socket, and nothing that decides. The domain's own
//! types are in `machine-core`; each conversion names every variant, so that a new state or command
//! cannot be forgotten here. Optional fields are left out, never null.

#![forbid(unsafe_code)]

pub mod attach;
pub mod error;
pub mod event;
pub mod exec;
pub mod explain;
pub mod file;
pub mod image;
pub mod machine;
pub mod mount;
pub mod network;
pub mod progress;
pub mod project;
pub mod server;
pub mod service;
pub mod template;
pub mod usage;
pub mod word;

pub use error::{ErrorBody, ErrorDetail};
pub use image::ImageInfo;
pub use machine::{CreateMachine, MachineInfo, Page};
pub use machine_core::{Code, MiB};
pub use mount::Mount;
pub use network::{NetworkInfo, NetworkWish};
pub use progress::{ProgressLine, ReportInfo};
pub use template::{TemplateInfo, recipe};
pub use usage::{MachineMetrics, UsageInfo};
pub use word::{CommandWord, MachinePhase, MachineState, ServiceWord, StageWord, Status};

/// The media type of progress: one JSON document per line.
pub const NDJSON: &str = "application/x-ndjson";
/// Names a request, both ways; made by the server if the client has none.
pub const REQUEST_ID: &str = "x-request-id";
/// A repeat of a create with the same key means the same create.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
