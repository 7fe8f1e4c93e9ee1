//! How a server speaks with a gateway: a Unix socket that keeps messages whole, each one JSON object, with
//! descriptors beside it.
//!
//! ```text
//! server ──request──▶ gateway        any number of times; of the owner and root alone
//!        ◀──reply───
//!        ──relay────▶                from then on the gateway alone speaks:
//!        ◀──relayed─   …             a connection for the guest's own loopback, with its descriptor
//! ```

mod client;
mod message;
mod parcel;
mod server;

#[cfg(test)]
mod tests;

pub use client::{Client, ControlError, Relay};
pub use message::{Counts, Status};
pub(crate) use message::{Reply, Request};
pub(crate) use server::{Clients, Doing};
