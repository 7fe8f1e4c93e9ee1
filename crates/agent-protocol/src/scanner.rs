//! Cuts incoming bytes into preambles and frames, whatever chunks they come in. Judges headers,
//! not what the frames mean.
//!
//! ```text
//! Hunting ──MAGIC──▶ Framed ──bad header──▶ Hunting
//!                    Framed ──MAGIC──▶ Framed (the half-received frame is dropped)
//! ```
//!
//! Bytes that may be the start of a MAGIC are held back until it is known, so what comes out
//! depends on the bytes alone and never on how they were chunked.

use crate::frame::{HEADER_LEN, Header, MAGIC, magic_started};
use memchr::memmem;

/// What the bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A session opens; whatever was before is void.
    Preamble,
    /// A whole frame.
    Frame(Header, Vec<u8>),
    /// A header that no peer of ours writes. Bytes are skipped until the next preamble.
    Malformed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hunting,
    Framed,
}

/// The receiving half of a connection, up to whole frames.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    bytes: Vec<u8>,
    /// Everything before this was used.
    start: usize,
    /// Where the next MAGIC begins.
    magic: Option<usize>,
    finder: memmem::Finder<'static>,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        let finder = memmem::Finder::new(&MAGIC).into_owned();
        Self { state: State::Hunting, bytes: Vec::new(), start: 0, magic: None, finder }
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.start);
        self.magic = self.magic.map(|at| at - self.start);
        self.start = 0;
        let searched = self.bytes.len().saturating_sub(MAGIC.len() - 1);
        self.bytes.extend_from_slice(chunk);
        if self.magic.is_none() {
            self.find_magic(searched);
        }
    }

    /// Gives up on the present session; only a MAGIC opens the next.
    pub(crate) fn hunt(&mut self) {
        self.state = State::Hunting;
    }

    /// Takes the bytes after what came last as frames again, after all.
    pub(crate) fn go_on(&mut self) {
        self.state = State::Framed;
    }

    pub(crate) fn next(&mut self) -> Option<Item> {
        let limit = self.magic.unwrap_or(self.bytes.len() - magic_started(&self.bytes[self.start..]));
        match self.state {
            State::Hunting => self.start = limit,
            State::Framed => {
                if let Some(item) = self.take_frame(limit) {
                    return Some(item);
                }
            }
        }
        let at = self.magic?;
        self.start = at + MAGIC.len();
        self.state = State::Framed;
        self.find_magic(self.start);
        Some(Item::Preamble)
    }

    fn find_magic(&mut self, from: usize) {
        self.magic = self.finder.find(&self.bytes[from..]).map(|at| from + at);
    }

    fn take_frame(&mut self, limit: usize) -> Option<Item> {
        let ready = &self.bytes[self.start..limit];
        let header: &[u8; HEADER_LEN] = ready.first_chunk()?;
        let Some(header) = Header::parse(header) else {
            self.state = State::Hunting;
            self.start = limit;
            return Some(Item::Malformed);
        };
        let payload = ready.get(HEADER_LEN..HEADER_LEN + header.len)?.to_vec();
        self.start += HEADER_LEN + header.len;
        Some(Item::Frame(header, payload))
    }
}
