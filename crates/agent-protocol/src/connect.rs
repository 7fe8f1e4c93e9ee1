//! A connection to a service on the guest's own loopback. Field numbers are append-only.
//!
//! ```text
//! Connect ──nobody listens──▶ Failed (refused)
//!    └──▶ Connected ──bytes both ways on the content channel, each until its End──▶ Done
//! ```
//! Of datagrams the channel carries each with its length before it, see [`crate::datagram`].

use minicbor::{Decode, Encode};

/// What carries bytes between ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Transport {
    /// A stream.
    #[n(0)]
    Tcp,
    /// Datagrams.
    #[n(1)]
    Udp,
}

/// Connect to a service on 127.0.0.1, or on ::1 if nobody listens there. Answered by `Connected`, then bytes,
/// then `Done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Connect {
    /// Where it listens.
    #[n(0)]
    pub port: u16,
    /// By what.
    #[n(1)]
    pub transport: Transport,
}

/// The service took the connection, or may hear datagrams.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Connected {}
