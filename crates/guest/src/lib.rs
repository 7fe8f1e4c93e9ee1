//! The host's end of the agent protocol over any byte stream: run commands, move files, ask and
//! tell. Knows nothing of virtual machines or where the stream comes from.
//!
//! ```text
//! GuestLink ─┐ asks                     ┌─ read ──▶
//! ExecStream ├──────▶ carrier (one task) ┤          byte stream ◀──▶ agent
//! FileReader ┘ ◀────── mailboxes         └─ write ─▶
//! ```
//! The guest is hostile: whatever it sends, memory stays bounded by the windows, and a lie is a
//! [`GuestError::Protocol`] that closes the link.
#![forbid(unsafe_code)]

mod carrier;
mod connection;
mod error;
mod exec;
mod file;
mod link;
mod listener;
mod mailbox;
mod project;
mod promise;
mod service;
mod stream;
mod waking;

pub use connection::{Connection, ConnectionInput};
pub use error::GuestError;
pub use exec::{ExecEvent, ExecInput, ExecOutput, ExecStream};
pub use file::{FileReader, FileWriter};
pub use link::GuestLink;
pub use listener::ListenerStream;
pub use machine_agent_protocol as protocol;
pub use promise::UnixDoor;
