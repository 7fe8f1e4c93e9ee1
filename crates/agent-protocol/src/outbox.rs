//! Bytes that wait to be written. Splits payloads so that no frame holds a MAGIC and none is too
//! long. Knows nothing of windows.

use crate::frame::{Channel, Header, Kind, LAST, MAGIC, MAX_PAYLOAD, MORE, StreamId, magic_started};
use memchr::memmem;

/// The sending half of a connection, below the windows.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    start: usize,
}

/// Whether the agent says its last word on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Open,
    Last,
}

impl Outbox {
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn wrote(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.clear();
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    pub(crate) fn preamble(&mut self) {
        self.bytes.extend_from_slice(&MAGIC);
    }

    pub(crate) fn message(&mut self, stream: StreamId, message: &[u8], closing: Closing) {
        let last = match closing {
            Closing::Open => 0,
            Closing::Last => LAST,
        };
        let mut pieces = pieces(message).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_some() { MORE } else { last };
            self.frame(Kind::Message, Channel::Content, flags, stream, piece);
        }
    }

    pub(crate) fn data(&mut self, stream: StreamId, channel: Channel, data: &[u8]) {
        for piece in pieces(data) {
            self.frame(Kind::Data, channel, 0, stream, piece);
        }
    }

    pub(crate) fn end(&mut self, stream: StreamId, channel: Channel) {
        self.frame(Kind::End, channel, 0, stream, &[]);
    }

    pub(crate) fn credit(&mut self, stream: StreamId, channel: Channel, credit: u32) {
        self.frame(Kind::Credit, channel, 0, stream, &credit.to_le_bytes());
    }

    pub(crate) fn reset(&mut self, stream: StreamId, code: u16, text: &str) {
        let mut payload = code.to_le_bytes().to_vec();
        // Text has no MAGIC in it (its first byte is never in UTF-8) and needs no splitting.
        payload.extend(text.bytes().take(1024));
        self.frame(Kind::Reset, Channel::Content, 0, stream, &payload);
    }

    fn frame(&mut self, kind: Kind, channel: Channel, flags: u8, stream: StreamId, payload: &[u8]) {
        let header = Header { kind, channel, flags, stream, len: payload.len() };
        self.bytes.extend_from_slice(&header.bytes());
        self.bytes.extend_from_slice(payload);
        if magic_started(payload) > 0 {
            let pad = Header { kind: Kind::Pad, channel: Channel::Content, flags: 0, stream, len: 0 };
            self.bytes.extend_from_slice(&pad.bytes());
        }
    }
}

/// Cuts a payload: no piece is longer than a frame, none holds a MAGIC. At least one piece.
fn pieces(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let finder = memmem::Finder::new(&MAGIC);
    let mut started = false;
    std::iter::from_fn(move || {
        if started && rest.is_empty() {
            return None;
        }
        started = true;
        let window = &rest[..rest.len().min(MAX_PAYLOAD)];
        let cut = finder.find(window).map_or(window.len(), |at| at + MAGIC.len() / 2);
        let (piece, after) = rest.split_at(cut);
        rest = after;
        Some(piece)
    })
}
