//! The agent's end of a connection. No I/O: bytes in, events and bytes out.
//!
//! ```text
//! Idle ──MAGIC──▶ Greeted ──Hello──▶ Session ──MAGIC──▶ Greeted
//!   ▲                │ nonsense         │ malformed or a lie: say Awake
//!   └────────────────┴──────────────────┘
//! ```
//! Nothing that a host sends is an error here: the session ends and the next may begin.

use crate::body::AgentState;
use crate::failure::{Failed, FailureCode};
use crate::frame::{Channel, StreamId};
use crate::greeting::{Greeted, Greeting};
use crate::message::{Answer, Awake, Control, Decoded, Hello, Refused, Request, Session, Welcome};
use crate::mux::{Heard, Mux, ProtocolError, ResetCode, Side, StreamGone};
use crate::outbox::Closing;
use crate::scanner::{Item, Scanner};
use crate::{HIGHEST_VERSION, LOWEST_VERSION};
use std::collections::VecDeque;

/// What the agent says of itself in its welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFacts {
    /// Its program version.
    pub agent_version: String,
    /// Changes with every boot of the guest's kernel.
    pub boot_id: String,
    /// The guest's kernel.
    pub kernel: String,
    /// What it is about to do.
    pub state: AgentState,
}

/// What happened.
#[derive(Debug)]
pub enum AgentEvent {
    /// A new session: every stream of an older one is gone.
    SessionStarted(Hello),
    /// The session and its streams are gone.
    SessionLost(ProtocolError),
    /// A stream was opened.
    Request {
        /// Which.
        stream: StreamId,
        /// With what request.
        request: Request,
    },
    /// The host said something in an open stream.
    Control {
        /// Where.
        stream: StreamId,
        /// What.
        control: Control,
    },
    /// Bytes came; give their credit back with [`AgentConnection::consume`].
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
    /// The stream is gone.
    Reset {
        /// Which.
        stream: StreamId,
        /// Why.
        code: ResetCode,
        /// Why, in words.
        text: String,
    },
}

#[derive(Debug)]
enum State {
    Idle,
    Greeted(Greeting),
    Session,
}

/// The agent's end.
#[derive(Debug)]
pub struct AgentConnection {
    state: State,
    facts: AgentFacts,
    scanner: Scanner,
    mux: Mux,
    events: VecDeque<AgentEvent>,
}

impl AgentConnection {
    /// A connection without a session, which says that it is awake.
    #[must_use]
    pub fn new(facts: AgentFacts) -> Self {
        let mut connection = Self {
            state: State::Idle,
            facts,
            scanner: Scanner::new(),
            mux: Mux::new(Side::Agent),
            events: VecDeque::new(),
        };
        connection.say_awake();
        connection
    }

    /// Takes bytes from the host. Events then wait in [`Self::next_event`].
    pub fn receive(&mut self, bytes: &[u8]) {
        self.scanner.push(bytes);
        while let Some(item) = self.scanner.next() {
            if let Err(error) = self.item(item) {
                self.lose(error);
            }
        }
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<AgentEvent> {
        self.events.pop_front()
    }

    /// Bytes to write to the host; tell with [`Self::wrote`] how many were.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.mux.out.pending()
    }

    /// The first `count` bytes of [`Self::output`] were written.
    pub fn wrote(&mut self, count: usize) {
        self.mux.out.wrote(count);
    }

    /// The byte stream was lost: no session, nothing left to write.
    pub fn hang_up(&mut self) {
        self.state = State::Idle;
        self.scanner = Scanner::new();
        self.mux.restart();
        self.events.clear();
    }

    /// Later welcomes say this.
    pub fn set_state(&mut self, state: AgentState) {
        self.facts.state = state;
    }

    /// Later welcomes say this.
    pub fn set_boot_id(&mut self, boot_id: String) {
        self.facts.boot_id = boot_id;
    }

    /// Says something in a stream.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn answer(&mut self, stream: StreamId, answer: &Answer) -> Result<(), StreamGone> {
        self.mux.send_message(stream, &answer.encode(), Closing::Open)
    }

    /// Says the last thing in a stream and closes it.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn finish(&mut self, stream: StreamId, answer: &Answer) -> Result<(), StreamGone> {
        self.mux.send_message(stream, &answer.encode(), Closing::Last)
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

    /// `count` received bytes were used; the host may send as many again.
    pub fn consume(&mut self, stream: StreamId, channel: Channel, count: usize) {
        self.mux.consume(stream, channel, count);
    }

    /// Closes a stream at once.
    pub fn reset(&mut self, stream: StreamId, code: ResetCode, text: &str) {
        self.mux.reset(stream, code, text);
    }

    fn say(&mut self, said: &Session) {
        self.mux.out.preamble();
        self.mux.out.message(StreamId::SESSION, &said.encode(), Closing::Open);
    }

    fn say_awake(&mut self) {
        let boot_id = self.facts.boot_id.clone();
        self.say(&Session::Awake(Awake { boot_id }));
    }

    fn lose(&mut self, error: ProtocolError) {
        self.state = State::Idle;
        self.scanner.hunt();
        self.mux.restart();
        self.say_awake();
        self.events.push_back(AgentEvent::SessionLost(error));
    }

    fn item(&mut self, item: Item) -> Result<(), ProtocolError> {
        match (&mut self.state, item) {
            (State::Idle | State::Greeted(_), Item::Preamble) => {
                self.state = State::Greeted(Greeting::default());
            }
            (State::Session, Item::Preamble) => {
                // Whoever greets is not whom we talked to; the old streams end here and now.
                self.mux.restart();
                self.state = State::Greeted(Greeting::default());
                self.events.push_back(AgentEvent::SessionLost(ProtocolError::SessionLost));
            }
            (State::Idle | State::Greeted(_), Item::Malformed) => self.state = State::Idle,
            (State::Session, Item::Malformed) => return Err(ProtocolError::Malformed),
            (State::Idle, Item::Frame(..)) => self.scanner.hunt(),
            (State::Greeted(greeting), Item::Frame(header, payload)) => match greeting.frame(&header, &payload) {
                Greeted::NotYet => {}
                Greeted::Said(Session::Hello(hello)) => self.hello(hello),
                Greeted::Said(_) | Greeted::Nonsense => {
                    self.state = State::Idle;
                    self.scanner.hunt();
                }
            },
            (State::Session, Item::Frame(header, payload)) => {
                if let Some(heard) = self.mux.frame(header, payload)? {
                    self.heard(heard);
                }
            }
        }
        Ok(())
    }

    fn hello(&mut self, hello: Hello) {
        self.mux.restart();
        let version = hello.highest.min(HIGHEST_VERSION);
        if version < hello.lowest.max(LOWEST_VERSION) {
            let (lowest, highest) = (LOWEST_VERSION, HIGHEST_VERSION);
            self.say(&Session::Refused(Refused { nonce: hello.nonce, lowest, highest }));
            self.state = State::Idle;
            self.scanner.hunt();
            return;
        }
        let AgentFacts { agent_version, boot_id, kernel, state } = self.facts.clone();
        let nonce = hello.nonce;
        let welcome = Welcome { version, nonce, agent_version, boot_id, kernel, state };
        self.say(&Session::Welcome(welcome));
        self.state = State::Session;
        self.events.push_back(AgentEvent::SessionStarted(hello));
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Opened { stream, bytes } => self.opened(stream, &bytes),
            Heard::Message { stream, bytes, .. } => match Control::decode(&bytes) {
                Ok(Decoded::Known(control)) => {
                    self.events.push_back(AgentEvent::Control { stream, control });
                }
                Ok(Decoded::Unknown(number)) => {
                    let refusal = unsupported(number);
                    self.answer(stream, &refusal).unwrap_or_default();
                }
                Err(error) => self.answer(stream, &invalid(&error)).unwrap_or_default(),
            },
            Heard::Data { stream, channel, bytes } => {
                self.events.push_back(AgentEvent::Data { stream, channel, bytes });
            }
            Heard::End { stream, channel } => {
                self.events.push_back(AgentEvent::End { stream, channel });
            }
            Heard::Reset { stream, code, text } => {
                self.events.push_back(AgentEvent::Reset { stream, code, text });
            }
        }
    }

    fn opened(&mut self, stream: StreamId, bytes: &[u8]) {
        let refusal = match Request::decode(bytes) {
            Ok(Decoded::Known(request)) => {
                self.events.push_back(AgentEvent::Request { stream, request });
                return;
            }
            Ok(Decoded::Unknown(number)) => unsupported(number),
            Err(error) => invalid(&error),
        };
        // A stream that was just opened is open.
        self.finish(stream, &refusal).unwrap_or_default();
    }
}

fn unsupported(number: u32) -> Answer {
    let message = format!("this agent does not know message {number}");
    Answer::Failed(Failed { code: FailureCode::Unsupported, message })
}

fn invalid(error: &crate::message::BadMessage) -> Answer {
    let message = format!("{error}: {}", error.source);
    Answer::Failed(Failed { code: FailureCode::Invalid, message })
}
