//! Many streams on one connection, for either end. Knows windows and stream ids; does not know
//! what messages say, nor how sessions begin.
//!
//! ```text
//! host:   ──open──▶ Open ──LAST message or Reset, either way──▶ forgotten
//! agent:  ──first message──▶ Open ──finish or Reset, either way──▶ forgotten
//! ```
//! Frames of a forgotten stream may still be under way, so they are ignored; frames of a stream
//! that never was are a lie and end the session.

use crate::frame::{Channel, Header, Kind, LAST, MORE, StreamId};
use crate::message::BadMessage;
use crate::outbox::{Closing, Outbox};
use crate::stream::Stream;
use crate::{MAX_MESSAGE, MAX_STREAMS};
use std::collections::HashMap;

/// No more data is taken while so much waits to be written.
pub(crate) const OUTPUT_HIGH: usize = 1024 * 1024;
/// A peer that lets so much pile up does not read at all.
const OUTPUT_LIMIT: usize = 8 * 1024 * 1024;
/// All half-received messages of a connection together.
const PARTIAL_LIMIT: usize = 4 * MAX_MESSAGE;

/// The peer does not speak the protocol, or lies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Bytes that are no frame.
    #[error("the peer sent bytes that are no frame")]
    Malformed,
    /// A frame for a stream that was never opened.
    #[error("the peer used a stream that was never opened: {}", stream.number())]
    UnknownStream {
        /// Which.
        stream: StreamId,
    },
    /// A frame that does not fit its kind.
    #[error("the peer sent a frame that makes no sense on stream {}", stream.number())]
    BadFrame {
        /// Where.
        stream: StreamId,
    },
    /// A message, or all unfinished ones together, too long.
    #[error("the peer sent too long a message on stream {}", stream.number())]
    MessageTooLong {
        /// Where.
        stream: StreamId,
    },
    /// A message that cannot be read.
    #[error("the peer sent a message that cannot be read")]
    BadMessage(#[from] BadMessage),
    /// The agent began anew: it, or its guest, was restarted.
    #[error("the agent lost the session, or was restarted")]
    SessionLost,
    /// The agent speaks other versions.
    #[error("the agent speaks protocol versions {lowest} to {highest}")]
    NoCommonVersion {
        /// Its oldest.
        lowest: u32,
        /// Its newest.
        highest: u32,
    },
    /// The peer sends but does not read.
    #[error("the peer does not read what we send")]
    PeerStalled,
}

/// Why a stream was reset. Append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCode {
    /// Whoever asked has lost interest.
    Cancelled,
    /// More was sent than the window allowed, or after the end.
    FlowControl,
    /// Too many streams are open.
    TooManyStreams,
    /// The sender of the reset could not go on.
    Broken,
    /// A code that is younger than this build.
    Unrecognized(u16),
}

impl ResetCode {
    fn number(self) -> u16 {
        match self {
            Self::Cancelled => 1,
            Self::FlowControl => 2,
            Self::TooManyStreams => 3,
            Self::Broken => 4,
            Self::Unrecognized(number) => number,
        }
    }

    fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Cancelled,
            2 => Self::FlowControl,
            3 => Self::TooManyStreams,
            4 => Self::Broken,
            other => Self::Unrecognized(other),
        }
    }
}

/// Whether more comes on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// More may come.
    No,
    /// That was the last word.
    Yes,
}

/// The stream is not open (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream is closed")]
pub struct StreamGone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Host,
    Agent,
}

#[derive(Debug)]
pub(crate) enum Heard {
    Opened { stream: StreamId, bytes: Vec<u8> },
    Message { stream: StreamId, bytes: Vec<u8>, ended: Ended },
    Data { stream: StreamId, channel: Channel, bytes: Vec<u8> },
    End { stream: StreamId, channel: Channel },
    Reset { stream: StreamId, code: ResetCode, text: String },
}

#[derive(Debug)]
pub(crate) struct Mux {
    side: Side,
    streams: HashMap<StreamId, Stream>,
    last_opened: u32,
    partial_bytes: usize,
    pub(crate) out: Outbox,
}

impl Mux {
    pub(crate) fn new(side: Side) -> Self {
        Self { side, streams: HashMap::new(), last_opened: 0, partial_bytes: 0, out: Outbox::default() }
    }

    /// Forgets every stream and all that waits to be written.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.side);
    }

    pub(crate) fn is_open(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// The host's next stream; `None` if too many are open or the numbers are used up.
    pub(crate) fn open(&mut self) -> Option<StreamId> {
        let next = if self.last_opened == 0 { 1 } else { self.last_opened.checked_add(2)? };
        if self.streams.len() >= MAX_STREAMS {
            return None;
        }
        self.last_opened = next;
        self.streams.insert(StreamId(next), Stream::new());
        Some(StreamId(next))
    }

    pub(crate) fn forget(&mut self, stream: StreamId) {
        if let Some(gone) = self.streams.remove(&stream) {
            self.partial_bytes -= gone.partial.len();
        }
    }

    pub(crate) fn send_message(&mut self, stream: StreamId, bytes: &[u8], closing: Closing) -> Result<(), StreamGone> {
        if !self.is_open(stream) {
            return Err(StreamGone);
        }
        self.out.message(stream, bytes, closing);
        match closing {
            Closing::Open => {}
            Closing::Last => self.forget(stream),
        }
        Ok(())
    }

    pub(crate) fn send_data(&mut self, stream: StreamId, channel: Channel, bytes: &[u8]) -> Result<usize, StreamGone> {
        let state = self.streams.get_mut(&stream).ok_or(StreamGone)?;
        let room = OUTPUT_HIGH.saturating_sub(self.out.pending().len());
        let count = state.sendable(channel, bytes.len().min(room));
        if count > 0 {
            state.sent(channel, count);
            self.out.data(stream, channel, &bytes[..count]);
        }
        Ok(count)
    }

    pub(crate) fn send_end(&mut self, stream: StreamId, channel: Channel) -> Result<(), StreamGone> {
        let state = self.streams.get_mut(&stream).ok_or(StreamGone)?;
        if state.send_end(channel) {
            self.out.end(stream, channel);
        }
        Ok(())
    }

    pub(crate) fn consume(&mut self, stream: StreamId, channel: Channel, count: usize) {
        let credit = self.streams.get_mut(&stream).and_then(|state| state.consume(channel, count));
        if let Some(credit) = credit {
            self.out.credit(stream, channel, credit);
        }
    }

    pub(crate) fn reset(&mut self, stream: StreamId, code: ResetCode, text: &str) {
        if self.is_open(stream) {
            self.forget(stream);
            self.out.reset(stream, code.number(), text);
        }
    }

    pub(crate) fn frame(&mut self, header: Header, payload: Vec<u8>) -> Result<Option<Heard>, ProtocolError> {
        if self.out.pending().len() > OUTPUT_LIMIT {
            return Err(ProtocolError::PeerStalled);
        }
        if header.kind == Kind::Pad || header.stream == StreamId::SESSION {
            return Ok(None);
        }
        if !self.is_open(header.stream) && !self.admit(&header)? {
            return Ok(None);
        }
        match header.kind {
            Kind::Message => self.message(&header, &payload),
            Kind::Data | Kind::End | Kind::Credit => Ok(self.flow(&header, payload)),
            Kind::Reset => {
                self.forget(header.stream);
                let (code, text) = read_reset(&payload);
                Ok(Some(Heard::Reset { stream: header.stream, code, text }))
            }
            Kind::Pad => Ok(None),
        }
    }

    /// Decides on a frame of a stream that is not open: true if it opened one, false if it came
    /// late and is to be ignored.
    fn admit(&mut self, header: &Header) -> Result<bool, ProtocolError> {
        let stream = header.stream;
        let odd = stream.0 % 2 == 1;
        if odd && stream.0 <= self.last_opened {
            return Ok(false);
        }
        match (self.side, header.kind) {
            (Side::Agent, Kind::Message) if odd => {
                self.last_opened = stream.0;
                self.streams.insert(stream, Stream::new());
                if self.streams.len() <= MAX_STREAMS {
                    return Ok(true);
                }
                self.reset(stream, ResetCode::TooManyStreams, "too many streams are open");
                Ok(false)
            }
            (Side::Agent | Side::Host, _) => Err(ProtocolError::UnknownStream { stream }),
        }
    }

    fn message(&mut self, header: &Header, payload: &[u8]) -> Result<Option<Heard>, ProtocolError> {
        let stream = header.stream;
        let last = header.flags & LAST != 0;
        let more = header.flags & MORE != 0;
        if last && (more || self.side == Side::Agent) {
            return Err(ProtocolError::BadFrame { stream });
        }
        let Some(state) = self.streams.get_mut(&stream) else { return Ok(None) };
        state.partial.extend_from_slice(payload);
        self.partial_bytes += payload.len();
        if state.partial.len() > MAX_MESSAGE || self.partial_bytes > PARTIAL_LIMIT {
            return Err(ProtocolError::MessageTooLong { stream });
        }
        if more {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut state.partial);
        let first = !std::mem::replace(&mut state.greeted, true);
        self.partial_bytes -= bytes.len();
        if first && self.side == Side::Agent {
            return Ok(Some(Heard::Opened { stream, bytes }));
        }
        if last {
            self.forget(stream);
        }
        let ended = if last { Ended::Yes } else { Ended::No };
        Ok(Some(Heard::Message { stream, bytes, ended }))
    }

    /// Data, its end, and credit; a sender that breaks its window loses the stream.
    fn flow(&mut self, header: &Header, bytes: Vec<u8>) -> Option<Heard> {
        let (stream, channel) = (header.stream, header.channel);
        let state = self.streams.get_mut(&stream)?;
        let (kept, heard) = match header.kind {
            Kind::Data => {
                let kept = state.received(channel, bytes.len());
                (kept, Some(Heard::Data { stream, channel, bytes }))
            }
            Kind::End => (state.received_end(channel), Some(Heard::End { stream, channel })),
            Kind::Credit => {
                let credit = <[u8; 4]>::try_from(bytes.as_slice()).map_or(0, u32::from_le_bytes);
                (state.received_credit(channel, credit), None)
            }
            Kind::Message | Kind::Reset | Kind::Pad => (Ok(()), None),
        };
        if kept.is_ok() {
            return heard;
        }
        let text = "more was sent than the window allowed".to_owned();
        self.reset(stream, ResetCode::FlowControl, &text);
        Some(Heard::Reset { stream, code: ResetCode::FlowControl, text })
    }
}

fn read_reset(payload: &[u8]) -> (ResetCode, String) {
    let Some((code, text)) = payload.split_first_chunk() else {
        return (ResetCode::Broken, String::new());
    };
    let text = &text[..text.len().min(1024)];
    (ResetCode::from_number(u16::from_le_bytes(*code)), String::from_utf8_lossy(text).into_owned())
}
