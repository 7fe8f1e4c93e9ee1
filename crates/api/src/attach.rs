//! A command's streams over one WebSocket, `GET /v1/machines/{id}/attach`, binary messages only.
//!
//! ```text
//! client: start ──▶ (stdin | stdin-close | resize | signal)* ──▶ closes: an attached command is hung up
//! server: started ──▶ (stdout | stderr | stdin-credit)* ──▶ exit | error, then closes
//! ```
//!
//! The first byte of a message says what it is; the rest is JSON, raw bytes or big-endian numbers.
//! The client may send `STDIN_WINDOW` bytes of standard input at once and as many more as it is
//! given credit for, so that a signal never waits behind input which the command does not read.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use machine_core::promise::guest::Exit;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;

/// How much of standard input may be under way before the first credit.
pub const STDIN_WINDOW: u32 = 256 << 10;
/// The largest message that carries bytes, its first byte included.
pub const LARGEST_MESSAGE: usize = 64 << 10;
/// The largest message that carries JSON: a start with a long environment.
pub const LARGEST_JSON: usize = 1 << 20;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// What to run; the first frame, and only the first.
    Start(Box<AttachStart>),
    /// Bytes for its standard input.
    Stdin(Bytes),
    /// Its standard input ends.
    StdinClose,
    /// Its terminal's new size.
    Resize(TtySize),
    /// A signal, by number.
    Signal(u8),
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    /// The command runs.
    Started(Started),
    /// It wrote to its standard output, or its terminal.
    Stdout(Bytes),
    /// It wrote to its standard error.
    Stderr(Bytes),
    /// It ended; the last frame.
    Exit(CommandEnd),
    /// It could not be started or was lost; the last frame.
    Error(Box<ErrorBody>),
    /// The client may send this many bytes more.
    StdinCredit(u32),
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StartText", into = "StartText")]
pub struct AttachStart {
    /// The program.
    pub program: AttachProgram,
    /// Folder to start in; else the machine's.
    pub cwd: Option<String>,
    /// Environment on top of the machine's.
    pub envs: BTreeMap<String, String>,
    /// The guest's user; else root.
    pub user: Option<String>,
    /// Whether standard input will be sent.
    pub stdin: bool,
    /// A terminal for it.
    pub tty: Option<Tty>,
    /// It is ended after this time.
    pub timeout_ms: Option<u64>,
    /// Whether it goes on by itself; its output is not kept.
    pub detach: bool,
    /// Whether it begins as a login does, with the user's own shell and profile; no program is that shell.
    pub login: bool,
    /// Permission bits that its new files do not get, in octal; else `022`.
    pub umask: Option<String>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachProgram {
    /// A program and its arguments, exactly.
    Argv(Vec<String>),
    /// A line for the guest's shell.
    Shell(String),
}

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tty {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// The value of `TERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtySize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// The command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its process id in the guest.
    pub pid: u32,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EndText", into = "EndText")]
pub enum CommandEnd {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// By its timeout.
    TimedOut,
    /// It goes on, detached.
    Detached,
}

/// Why a message is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadFrame {
    /// It has no first byte.
    Empty,
    /// Its first byte says nothing known.
    UnknownKind(u8),
    /// It is longer than a frame of its kind may be.
    TooLong(usize),
    /// The rest is not what its kind says.
    Malformed(String),
}

mod kind {
    pub(super) const START: u8 = 0;
    pub(super) const STDIN: u8 = 1;
    pub(super) const STDIN_CLOSE: u8 = 2;
    pub(super) const RESIZE: u8 = 3;
    pub(super) const SIGNAL: u8 = 4;
    pub(super) const STARTED: u8 = 16;
    pub(super) const STDOUT: u8 = 17;
    pub(super) const STDERR: u8 = 18;
    pub(super) const EXIT: u8 = 19;
    pub(super) const ERROR: u8 = 20;
    pub(super) const STDIN_CREDIT: u8 = 21;
}

impl ClientFrame {
    /// The frame as a message. Bytes must fit: see `pieces`.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Start(start) => json(kind::START, start),
            Self::Stdin(bytes) => raw(kind::STDIN, bytes),
            Self::StdinClose => raw(kind::STDIN_CLOSE, &[]),
            Self::Resize(size) => {
                let ([a, b], [c, d]) = (size.cols.to_be_bytes(), size.rows.to_be_bytes());
                raw(kind::RESIZE, &[a, b, c, d])
            }
            Self::Signal(number) => raw(kind::SIGNAL, &[*number]),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is no frame.
    pub fn decode(message: &Bytes) -> Result<Self, BadFrame> {
        let (kind, rest) = open(message)?;
        match kind {
            kind::START => Ok(Self::Start(Box::new(from_json(&rest)?))),
            kind::STDIN => Ok(Self::Stdin(payload(rest)?)),
            kind::STDIN_CLOSE => exactly::<0>(&rest).map(|[]| Self::StdinClose),
            kind::RESIZE => exactly(&rest).map(|[a, b, c, d]| {
                Self::Resize(TtySize { cols: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) })
            }),
            kind::SIGNAL => exactly(&rest).map(|[number]| Self::Signal(number)),
            other => Err(BadFrame::UnknownKind(other)),
        }
    }
}

impl ServerFrame {
    /// The frame as a message. Bytes must fit: see `pieces`.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Started(started) => json(kind::STARTED, started),
            Self::Stdout(bytes) => raw(kind::STDOUT, bytes),
            Self::Stderr(bytes) => raw(kind::STDERR, bytes),
            Self::Exit(end) => json(kind::EXIT, end),
            Self::Error(body) => json(kind::ERROR, body),
            Self::StdinCredit(bytes) => raw(kind::STDIN_CREDIT, &bytes.to_be_bytes()),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is no frame.
    pub fn decode(message: &Bytes) -> Result<Self, BadFrame> {
        let (kind, rest) = open(message)?;
        match kind {
            kind::STARTED => Ok(Self::Started(from_json(&rest)?)),
            kind::STDOUT => Ok(Self::Stdout(payload(rest)?)),
            kind::STDERR => Ok(Self::Stderr(payload(rest)?)),
            kind::EXIT => Ok(Self::Exit(from_json(&rest)?)),
            kind::ERROR => Ok(Self::Error(Box::new(from_json(&rest)?))),
            kind::STDIN_CREDIT => exactly(&rest).map(|bytes| Self::StdinCredit(u32::from_be_bytes(bytes))),
            other => Err(BadFrame::UnknownKind(other)),
        }
    }
}

/// Cuts bytes into pieces that fit a frame each. Nothing gives nothing.
pub fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = bytes.len().min(LARGEST_MESSAGE - 1);
        (length > 0).then(|| bytes.split_to(length))
    })
}

fn raw(kind: u8, rest: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(rest.len() + 1);
    message.put_u8(kind);
    message.put_slice(rest);
    message.freeze()
}

fn json(kind: u8, value: &impl Serialize) -> Bytes {
    raw(kind, &serde_json::to_vec(value).expect("our wire types have text keys and cannot fail to serialize"))
}

fn open(message: &Bytes) -> Result<(u8, Bytes), BadFrame> {
    if message.len() > LARGEST_JSON {
        return Err(BadFrame::TooLong(message.len()));
    }
    message.first().map(|kind| (*kind, message.slice(1..))).ok_or(BadFrame::Empty)
}

fn payload(rest: Bytes) -> Result<Bytes, BadFrame> {
    if rest.len() < LARGEST_MESSAGE { Ok(rest) } else { Err(BadFrame::TooLong(rest.len() + 1)) }
}

fn from_json<T: for<'de> Deserialize<'de>>(rest: &Bytes) -> Result<T, BadFrame> {
    serde_json::from_slice(rest).map_err(|error| BadFrame::Malformed(error.to_string()))
}

fn exactly<const N: usize>(rest: &Bytes) -> Result<[u8; N], BadFrame> {
    rest.as_ref().try_into().map_err(|_| BadFrame::Malformed(format!("{} bytes where {N} belong", rest.len())))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argv: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shell: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    envs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default)]
    stdin: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tty: Option<Tty>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default)]
    detach: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    login: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    umask: Option<String>,
}

impl TryFrom<StartText> for AttachStart {
    type Error = &'static str;
    fn try_from(text: StartText) -> Result<Self, &'static str> {
        let program = match (text.argv, text.shell) {
            (Some(argv), None) if argv.is_empty() && !text.login => {
                return Err("argv: empty; it begins with the program");
            }
            (Some(argv), None) => AttachProgram::Argv(argv),
            (None, Some(line)) => AttachProgram::Shell(line),
            (Some(_), Some(_)) | (None, None) => return Err("argv, shell: exactly one of them says what to run"),
        };
        let StartText { cwd, envs, user, stdin, tty, timeout_ms, detach, login, umask, .. } =
            StartText { argv: None, shell: None, ..text };
        Ok(Self { program, cwd, envs, user, stdin, tty, timeout_ms, detach, login, umask })
    }
}

impl From<AttachStart> for StartText {
    fn from(start: AttachStart) -> Self {
        let (argv, shell) = match start.program {
            AttachProgram::Argv(argv) => (Some(argv), None),
            AttachProgram::Shell(line) => (None, Some(line)),
        };
        let AttachStart { cwd, envs, user, stdin, tty, timeout_ms, detach, login, umask, .. } =
            AttachStart { program: AttachProgram::Argv(Vec::new()), ..start };
        Self { argv, shell, cwd, envs, user, stdin, tty, timeout_ms, detach, login, umask }
    }
}

#[derive(Serialize, Deserialize)]
struct EndText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(default)]
    timed_out: bool,
    #[serde(default)]
    detached: bool,
}

impl TryFrom<EndText> for CommandEnd {
    type Error = &'static str;
    fn try_from(text: EndText) -> Result<Self, &'static str> {
        match (text.code, text.signal, text.timed_out, text.detached) {
            (Some(code), None, false, false) => Ok(Self::Code(code)),
            (None, Some(signal), false, false) => Ok(Self::Signal(signal)),
            (None, None, true, false) => Ok(Self::TimedOut),
            (None, None, false, true) => Ok(Self::Detached),
            _ => Err("an exit is one of code, signal, timed_out, detached"),
        }
    }
}

impl From<CommandEnd> for EndText {
    fn from(end: CommandEnd) -> Self {
        let none = Self { code: None, signal: None, timed_out: false, detached: false };
        match end {
            CommandEnd::Code(code) => Self { code: Some(code), ..none },
            CommandEnd::Signal(signal) => Self { signal: Some(signal), ..none },
            CommandEnd::TimedOut => Self { timed_out: true, ..none },
            CommandEnd::Detached => Self { detached: true, ..none },
        }
    }
}

impl From<Exit> for CommandEnd {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::TimedOut => Self::TimedOut,
            Exit::Detached => Self::Detached,
        }
    }
}

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty message"),
            Self::UnknownKind(kind) => write!(f, "a message of unknown kind: {kind}"),
            Self::TooLong(length) => write!(f, "a message too long: {length} bytes"),
            Self::Malformed(why) => write!(f, "a malformed message: {why}"),
        }
    }
}

impl std::error::Error for BadFrame {}

#[cfg(test)]
#[path = "attach_tests.rs"]
mod tests;
