//! A client of `/v1`. The command line is built on this and has no private door: what it can do,
//! every Rust program can do. Holds no rules: what may be done now is in `allowed_commands`.
//!
//! ```text
//! Client ──one connection per call──▶ server
//!   attach ──▶ AttachStream ──split──▶ AttachOutput (events, credit)  AttachInput (stdin, signals)
//! ```

#![forbid(unsafe_code)]

mod attach;
mod connection;
mod error;
mod file;
mod image;
mod machine;
mod network;
mod progress;
mod project;
mod server;
mod service;
mod stream;
mod template;
mod usage;

pub use attach::{AttachEvent, AttachInput, AttachOutput, AttachStream, Ended};
pub use connection::{Client, Endpoint};
pub use error::SdkError;
pub use file::WriteFile;
pub use machine::{Follow, MachineFilter};
pub use machine_api as api;
pub use project::ListenerLines;
pub use stream::ByteStream;
pub use usage::Guests;

/// Who is told of the stages of long work. `&mut |_| ()` for nobody.
pub type OnReport<'a> = &'a mut (dyn FnMut(api::ReportInfo) + Send);
