//! Which ports of the guest somebody listens at.

use crate::connect::Transport;
use crate::datagram::{self, TooLong};
use crate::message::BadMessage;
use minicbor::{Decode, Encode};

/// Who listens? Answered by [`ListenerNews`], each packed as a datagram, one after the other as data on the content
/// channel: first all that there are, then what changed. Not followed, its end and `Done` come after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listeners {
    /// Also what changes from now on.
    #[n(0)]
    #[cbor(default)]
    pub follow: bool,
}

impl Listeners {
    /// No guest tells of more at a time.
    pub const MOST: usize = 512;
    /// No name of a program is longer, in bytes.
    pub const LONGEST_PROGRAM: usize = 32;
}

/// At which of the guest's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ListenAddress {
    /// At all.
    #[n(0)]
    Any,
    /// At its own, which nobody else reaches.
    #[n(1)]
    Loopback,
    /// At one of the others.
    #[n(2)]
    Other,
}

/// A port that somebody listens at. Its port, transport and address tell it from the others.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listener {
    /// The port.
    #[n(0)]
    pub port: u16,
    /// How it is spoken to.
    #[n(1)]
    pub transport: Transport,
    /// Where.
    #[n(2)]
    pub address: ListenAddress,
    /// Whose it is.
    #[n(3)]
    #[cbor(default)]
    pub uid: u32,
    /// The program's name, if it could be found out.
    #[n(4)]
    pub program: Option<String>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct ListenerNews {
    /// New since the last news.
    #[n(0)]
    #[cbor(default)]
    pub opened: Vec<Listener>,
    /// Gone since then.
    #[n(1)]
    #[cbor(default)]
    pub closed: Vec<Listener>,
}

impl ListenerNews {
    /// As it travels: packed as a datagram.
    ///
    /// # Errors
    /// If it has more than [`Listeners::MOST`] of each.
    pub fn pack(&self) -> Result<Vec<u8>, TooLong> {
        datagram::packed(&minicbor::to_vec(self).expect("writing to memory does not fail"))
    }

    /// Reads what a datagram held.
    ///
    /// # Errors
    /// If it is no news.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMessage> {
        minicbor::decode(bytes).map_err(|source| BadMessage { length: bytes.len(), source })
    }
}
