//! One frame: a header of twelve bytes and a payload. Knows nothing of sessions or windows.
//!
//! ```text
//! kind u8 | channel u8 | flags u8 | 0 | stream u32 LE | length u32 LE | payload (<= 64 KiB)
//! ```
//!
//! Why [`MAGIC`] cannot occur in traffic: its sixteen bytes are all >= 0x80, while bytes 0-3 of a
//! header are below 0x80 and byte 11 is 0, so it cannot touch a header: it would have to lie
//! inside one payload, and the sender cuts every payload that holds it (see `outbox`).

/// Opens a session. Sixteen different bytes, all >= 0x80, the first never seen in UTF-8 text.
pub const MAGIC: [u8; 16] =
    [0xf8, 0xa7, 0x9c, 0xe1, 0xb3, 0xd5, 0x8e, 0xc6, 0xfb, 0x92, 0xad, 0xf0, 0x87, 0xdb, 0xb9, 0xe4];
/// Bytes of a header.
pub const HEADER_LEN: usize = 12;
/// Largest payload of one frame.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Flag of a message frame: the message goes on in the next message frame of this stream.
pub const MORE: u8 = 0b01;
/// Flag of a message frame: nothing follows from the agent on this stream, it is closed.
pub const LAST: u8 = 0b10;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message or, with [`MORE`], a piece of one.
    Message,
    /// Bytes of a channel.
    Data,
    /// The sender writes no more on this channel.
    End,
    /// The receiver of a channel lets its sender send so many bytes more (u32 LE).
    Credit,
    /// The stream is over at once: u16 LE reason, then text.
    Reset,
    /// Nothing. Follows a payload that ends like the start of [`MAGIC`], so that the receiver
    /// need not wait for real traffic to know that it was not the real one.
    Pad,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Message),
            2 => Some(Self::Data),
            3 => Some(Self::End),
            4 => Some(Self::Credit),
            5 => Some(Self::Reset),
            6 => Some(Self::Pad),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Data => 2,
            Self::End => 3,
            Self::Credit => 4,
            Self::Reset => 5,
            Self::Pad => 6,
        }
    }
}

/// One of a stream's byte channels; each flows both ways with its own windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Standard input towards the guest; content of files both ways.
    Content,
    /// Standard output of a command, or all output of its terminal.
    Stdout,
    /// Standard error of a command.
    Stderr,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Content, Self::Stdout, Self::Stderr];

    pub(crate) fn index(self) -> usize {
        usize::from(self.byte())
    }

    fn byte(self) -> u8 {
        match self {
            Self::Content => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Content),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// Names a stream inside one session. The host picks odd, rising numbers; 0 is the session's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    /// The stream of greetings.
    pub const SESSION: Self = Self(0);

    /// The bare number, for logs.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// A header whose every field was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame carries.
    pub kind: Kind,
    /// The channel, for data, end and credit.
    pub channel: Channel,
    /// [`MORE`] and [`LAST`].
    pub flags: u8,
    /// The stream.
    pub stream: StreamId,
    /// Length of the payload, at most [`MAX_PAYLOAD`].
    pub len: usize,
}

impl Header {
    /// Reads a header; `None` if any field is out of range.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let [kind, channel, flags, zero, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        if zero != 0 || flags & !(MORE | LAST) != 0 || len > MAX_PAYLOAD {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(kind)?,
            channel: Channel::from_byte(channel)?,
            flags,
            stream: StreamId(u32::from_le_bytes([s0, s1, s2, s3])),
            len,
        })
    }

    /// Writes a header.
    #[must_use]
    pub fn bytes(&self) -> [u8; HEADER_LEN] {
        let [s0, s1, s2, s3] = self.stream.0.to_le_bytes();
        let len = u32::try_from(self.len.min(MAX_PAYLOAD)).expect("64 KiB fits in 32 bits");
        let [l0, l1, l2, l3] = len.to_le_bytes();
        let (kind, channel) = (self.kind.byte(), self.channel.byte());
        [kind, channel, self.flags, 0, s0, s1, s2, s3, l0, l1, l2, l3]
    }
}

/// How many bytes at the end of `bytes` could be the start of a [`MAGIC`] (0 to 15).
#[must_use]
pub fn magic_started(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(MAGIC.len() - 1)..];
    // The bytes of MAGIC differ from each other, so only the last first-byte can start one.
    match memchr::memrchr(MAGIC[0], tail) {
        Some(at) if MAGIC.starts_with(&tail[at..]) => tail.len() - at,
        Some(_) | None => 0,
    }
}
