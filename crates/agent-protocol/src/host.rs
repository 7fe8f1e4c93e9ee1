//! The host's end of a connection. No I/O: bytes in, events and bytes out.
//!
//! ```text
//! Greeting ──MAGIC + Welcome(own nonce)──▶ Session ──malformed, lie or MAGIC──▶ error
//!     ▲  │ MAGIC + Awake: say hello again, with a new nonce
//!     └──┘
//! ```
//! After an error the connection is of no use; the caller drops it with its byte stream.

use crate::frame::{Channel, StreamId};
use crate::greeting::{Greeted, Greeting};
use crate::message::{Answer, Control, Decoded, Hello, Request, Session, Welcome};
use crate::mux::{Ended, Heard, Mux, OUTPUT_HIGH, ProtocolError, ResetCode, Side, StreamGone};
use crate::outbox::Closing;
use crate::scanner::{Item, Scanner};
use crate::{HIGHEST_VERSION, LOWEST_VERSION, MAX_MESSAGE};
use std::collections::VecDeque;

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// The session is open.
    Welcomed(Welcome),
    /// The agent answered in a stream.
    Answer {
        /// Where.
        stream: StreamId,
        /// What.
        answer: Decoded<Answer>,
        /// Whether that closed the stream.
        ended: Ended,
    },
    /// Bytes came; give their credit back with [`HostConnection::consume`].
    Data {
        /// Where.
        stream: StreamId,
        /// On which channel.
        channel: Channel,
        /// The bytes, never none.
        bytes: Vec<u8>,
    },
    /// No more bytes will come on a channel.
    End {
        /// Where.
        stream: StreamId,
        /// On which channel.
        channel: Channel,
    },
    /// The stream broke.
    Reset {
        /// Which.
        stream: StreamId,
        /// Why.
        code: ResetCode,
        /// Why, in words.
        text: String,
    },
}

/// Why no stream could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no session yet.
    #[error("the agent has not answered yet")]
    NoSession,
    /// Too many are open, or the session is used up.
    #[error("too many streams are open")]
    TooManyStreams,
    /// The request does not fit into one message.
    #[error("the request is too long: {length} bytes")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

#[derive(Debug)]
enum State {
    Greeting(Greeting),
    Session,
}

/// The host's end.
#[derive(Debug)]
pub struct HostConnection {
    state: State,
    nonce: u64,
    host_version: String,
    scanner: Scanner,
    mux: Mux,
    events: VecDeque<HostEvent>,
}

impl HostConnection {
    /// A connection that says hello. `nonce` is random.
    #[must_use]
    pub fn new(nonce: u64, host_version: &str) -> Self {
        let mut connection = Self {
            state: State::Greeting(Greeting::default()),
            nonce,
            host_version: host_version.to_owned(),
            scanner: Scanner::new(),
            mux: Mux::new(Side::Host),
            events: VecDeque::new(),
        };
        connection.say_hello();
        connection
    }

    /// Takes bytes from the agent. Events then wait in [`Self::next_event`].
    ///
    /// # Errors
    /// If the agent lies or began anew; the connection is then of no use.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.scanner.push(bytes);
        while let Some(item) = self.scanner.next() {
            self.item(item)?;
        }
        Ok(())
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    /// Bytes to write to the agent; tell with [`Self::wrote`] how many were.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.mux.out.pending()
    }

    /// The first `count` bytes of [`Self::output`] were written.
    pub fn wrote(&mut self, count: usize) {
        self.mux.out.wrote(count);
    }

    /// Whether so much waits to be written that new requests better wait.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.mux.out.pending().len() >= OUTPUT_HIGH
    }

    /// Opens a stream with a request.
    ///
    /// # Errors
    /// If there is no session, no free stream, or too long a request.
    pub fn open(&mut self, request: &Request) -> Result<StreamId, OpenError> {
        match self.state {
            State::Greeting(_) => return Err(OpenError::NoSession),
            State::Session => {}
        }
        let bytes = request.encode();
        if bytes.len() > MAX_MESSAGE {
            return Err(OpenError::TooLong { length: bytes.len() });
        }
        let stream = self.mux.open().ok_or(OpenError::TooManyStreams)?;
        self.mux.out.message(stream, &bytes, Closing::Open);
        Ok(stream)
    }

    /// Says something in an open stream.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn control(&mut self, stream: StreamId, control: &Control) -> Result<(), StreamGone> {
        self.mux.send_message(stream, &control.encode(), Closing::Open)
    }

    /// Sends as many of `bytes` as the window allows; answers how many.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn send_data(&mut self, stream: StreamId, channel: Channel, bytes: &[u8]) -> Result<usize, StreamGone> {
        self.mux.send_data(stream, channel, bytes)
    }

    /// No more bytes will be sent on a channel.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn end(&mut self, stream: StreamId, channel: Channel) -> Result<(), StreamGone> {
        self.mux.send_end(stream, channel)
    }

    /// `count` received bytes were used; the agent may send as many again.
    pub fn consume(&mut self, stream: StreamId, channel: Channel, count: usize) {
        self.mux.consume(stream, channel, count);
    }

    /// Closes a stream at once. A closed one stays closed.
    pub fn reset(&mut self, stream: StreamId, code: ResetCode, text: &str) {
        self.mux.reset(stream, code, text);
    }

    fn say_hello(&mut self) {
        let hello = Hello {
            lowest: LOWEST_VERSION,
            highest: HIGHEST_VERSION,
            nonce: self.nonce,
            host_version: self.host_version.clone(),
        };
        self.mux.out.preamble();
        self.mux.out.message(StreamId::SESSION, &Session::Hello(hello).encode(), Closing::Open);
    }

    fn item(&mut self, item: Item) -> Result<(), ProtocolError> {
        match (&mut self.state, item) {
            (State::Greeting(greeting), Item::Preamble) => *greeting = Greeting::default(),
            (State::Greeting(_), Item::Malformed) => {}
            (State::Greeting(greeting), Item::Frame(header, payload)) => match greeting.frame(&header, &payload) {
                Greeted::NotYet => {}
                Greeted::Nonsense => self.scanner.hunt(),
                Greeted::Said(said) => return self.greeted(said),
            },
            (State::Session, Item::Preamble) => return Err(ProtocolError::SessionLost),
            (State::Session, Item::Malformed) => return Err(ProtocolError::Malformed),
            (State::Session, Item::Frame(header, payload)) => {
                if let Some(heard) = self.mux.frame(header, payload)? {
                    self.heard(heard)?;
                }
            }
        }
        Ok(())
    }

    fn greeted(&mut self, said: Session) -> Result<(), ProtocolError> {
        self.scanner.hunt();
        match said {
            Session::Welcome(welcome) if welcome.nonce == self.nonce => {
                if !(LOWEST_VERSION..=HIGHEST_VERSION).contains(&welcome.version) {
                    let version = welcome.version;
                    return Err(ProtocolError::NoCommonVersion { lowest: version, highest: version });
                }
                self.scanner.go_on();
                self.state = State::Session;
                self.events.push_back(HostEvent::Welcomed(welcome));
            }
            Session::Refused(refused) if refused.nonce == self.nonce => {
                let (lowest, highest) = (refused.lowest, refused.highest);
                return Err(ProtocolError::NoCommonVersion { lowest, highest });
            }
            Session::Awake(_) if !self.is_congested() => {
                // Our hello may or may not have been read. The new nonce makes us ignore a
                // welcome to the first, which this second hello would void.
                self.nonce = self.nonce.wrapping_add(1);
                self.say_hello();
            }
            Session::Welcome(_) | Session::Refused(_) | Session::Awake(_) | Session::Hello(_) => {}
        }
        Ok(())
    }

    fn heard(&mut self, heard: Heard) -> Result<(), ProtocolError> {
        self.events.push_back(match heard {
            Heard::Opened { stream, .. } => return Err(ProtocolError::UnknownStream { stream }),
            Heard::Message { stream, bytes, ended } => {
                HostEvent::Answer { stream, answer: Answer::decode(&bytes)?, ended }
            }
            Heard::Data { stream, channel, bytes } => HostEvent::Data { stream, channel, bytes },
            Heard::End { stream, channel } => HostEvent::End { stream, channel },
            Heard::Reset { stream, code, text } => HostEvent::Reset { stream, code, text },
        });
        Ok(())
    }
}
