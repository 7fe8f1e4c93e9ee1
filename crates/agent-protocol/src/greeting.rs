//! Puts the one message together that follows a preamble. Shared by both ends.

use crate::frame::{Header, Kind, LAST, MORE, StreamId};
use crate::message::{Decoded, Session};

/// No greeting is longer.
const LIMIT: usize = 64 * 1024;

/// What is known of the greeting so far.
#[derive(Debug, Default)]
pub(crate) struct Greeting(Vec<u8>);

/// What a further frame told.
#[derive(Debug)]
pub(crate) enum Greeted {
    /// There is more to come.
    NotYet,
    /// This was said.
    Said(Session),
    /// This is no greeting, or one that we do not know.
    Nonsense,
}

impl Greeting {
    pub(crate) fn frame(&mut self, header: &Header, payload: &[u8]) -> Greeted {
        match header.kind {
            Kind::Pad => return Greeted::NotYet,
            Kind::Message => {}
            Kind::Data | Kind::End | Kind::Credit | Kind::Reset => return Greeted::Nonsense,
        }
        let fits = self.0.len() + payload.len() <= LIMIT;
        if header.stream != StreamId::SESSION || header.flags & LAST != 0 || !fits {
            return Greeted::Nonsense;
        }
        self.0.extend_from_slice(payload);
        if header.flags & MORE != 0 {
            return Greeted::NotYet;
        }
        match Session::decode(&self.0) {
            Ok(Decoded::Known(said)) => Greeted::Said(said),
            Ok(Decoded::Unknown(_)) | Err(_) => Greeted::Nonsense,
        }
    }
}
