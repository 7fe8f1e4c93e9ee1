//! The agent, seen from the host. What it answers comes from a hostile guest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::code::Code;
use crate::network::Transport;
use crate::promise::awakening::{Awakening, Settled, Vitals, Woken};
use crate::promise::project::{GuestProject, NoProject};
use crate::refusal::Refusal;

/// A guest whose agent answered.
#[async_trait]
pub trait Guest: Send + Sync {
    /// Makes the guest a machine: identity, time, chance. Nothing else is asked of it before.
    async fn wake_as(&self, awakening: &Awakening) -> Result<Woken, GuestError>;

    /// Sets its wall clock: it did not see time pass.
    async fn set_clock(&self, now: Timestamp) -> Result<(), GuestError>;

    /// Brings it to rest, so that it can be kept: what is to be written is on its disk, and it trusts these
    /// certificate authorities, which machines made of it need not be told of.
    async fn settle(&self, authorities: &[String]) -> Result<Settled, GuestError>;

    /// Starts a command.
    async fn exec(&self, request: ExecRequest) -> Result<Box<dyn GuestProcess>, GuestError>;

    /// Its files.
    fn files(&self) -> Arc<dyn GuestFiles>;

    /// What it does for a project; an older guest does nothing.
    fn project(&self) -> Arc<dyn GuestProject> {
        Arc::new(NoProject)
    }

    /// Connects to a service on the guest's own loopback, IPv4 or IPv6. `Refused` if nobody listens there.
    async fn connect(&self, port: u16, transport: Transport) -> Result<Box<dyn GuestConnection>, GuestError>;

    /// How it is.
    async fn measure(&self) -> Result<Vitals, GuestError>;

    /// Asks it to end its processes within the grace and power off. Returns when it was understood.
    async fn power_off(&self, grace: Duration) -> Result<(), GuestError>;

    /// Whether the connection has ended, so that it must be reached anew.
    fn is_lost(&self) -> bool;
}

/// Reaches the agent behind a socket.
#[async_trait]
pub trait GuestDoor: Send + Sync {
    /// Waits until somebody listens at the socket and an agent answers there.
    async fn reach(&self, socket: &Path, within: Duration) -> Result<Arc<dyn Guest>, GuestError>;
}

/// A command that runs in a guest. Dropping it hangs the command up.
#[async_trait]
pub trait GuestProcess: Send {
    /// Its process id in the guest.
    fn pid(&self) -> u32;

    /// The next thing that happens to it; `Exited` is the last.
    async fn next(&mut self) -> Result<ProcessEvent, GuestError>;

    /// What is sent to it; may be used beside `next`.
    fn input(&self) -> Arc<dyn ProcessInput>;
}

/// What is sent to a running command.
#[async_trait]
pub trait ProcessInput: Send + Sync {
    /// Writes to its standard input; waits while the guest does not read.
    async fn write(&self, bytes: Bytes) -> Result<(), GuestError>;
    /// Closes its standard input.
    async fn close(&self) -> Result<(), GuestError>;
    /// Sends a signal, by number, to its whole process group.
    async fn signal(&self, signal: i32) -> Result<(), GuestError>;
    /// Tells its terminal's new size.
    async fn resize(&self, size: TerminalSize) -> Result<(), GuestError>;
}

/// A connection to a service in a guest. Of datagrams, each piece is one. Dropping it closes it.
#[async_trait]
pub trait GuestConnection: Send {
    /// The next bytes; `None` when the service has closed its side.
    async fn next(&mut self) -> Result<Option<Bytes>, GuestError>;

    /// What is sent to it; may be used beside `next`.
    fn input(&self) -> Arc<dyn ConnectionInput>;
}

/// What is sent to a service in a guest.
#[async_trait]
pub trait ConnectionInput: Send + Sync {
    /// Sends bytes, or one datagram; waits while the guest does not take them.
    async fn write(&self, bytes: Bytes) -> Result<(), GuestError>;
    /// Closes our side: the service reads its end and may go on sending.
    async fn close(&self) -> Result<(), GuestError>;
}

/// Files of a guest.
#[async_trait]
pub trait GuestFiles: Send + Sync {
    /// Opens a file to read.
    async fn read(&self, path: &str, user: Option<&str>) -> Result<(FileInfo, Box<dyn FileSource>), GuestError>;
    /// Opens a file to write whole; it appears when it is finished.
    async fn write(&self, path: &str, options: WriteOptions) -> Result<Box<dyn FileSink>, GuestError>;
    /// What is in a folder, `depth` levels down.
    async fn list(&self, path: &str, depth: u32) -> Result<Vec<FileInfo>, GuestError>;
    /// What a path is.
    async fn stat(&self, path: &str) -> Result<FileInfo, GuestError>;
    /// Removes a file, or a folder with all that is in it.
    async fn remove(&self, path: &str) -> Result<(), GuestError>;
    /// Makes a folder, and those above it.
    async fn make_folder(&self, path: &str) -> Result<(), GuestError>;
}

/// A file being read.
#[async_trait]
pub trait FileSource: Send {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, GuestError>;
}

/// A file being written. Dropped without `finish`, nothing is left of it.
#[async_trait]
pub trait FileSink: Send {
    /// Writes bytes; waits while the guest's disk is slower.
    async fn write(&mut self, bytes: Bytes) -> Result<(), GuestError>;
    /// Puts the file in place and answers its size in bytes.
    async fn finish(self: Box<Self>) -> Result<u64, GuestError>;
}

/// Who a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its host name.
    pub hostname: String,
    /// Its machine-id: 32 hexadecimal digits.
    pub machine_id: String,
    /// The environment of every command.
    pub envs: BTreeMap<String, String>,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program and its arguments, or a line for the guest's shell.
    pub program: Program,
    /// Folder to start in; else the machine's.
    pub cwd: Option<String>,
    /// Environment on top of the machine's.
    pub envs: BTreeMap<String, String>,
    /// The guest's user, by name or number; else root.
    pub user: Option<String>,
    /// Whether its standard input is open.
    pub stdin: Stdin,
    /// A terminal of this size, if it wants one.
    pub terminal: Option<Terminal>,
    /// It is ended after this time.
    pub timeout: Option<Duration>,
    /// Whether it outlives the one who asked.
    pub life: Life,
    /// Whether it begins as a login does.
    pub login: Login,
    /// Permission bits that its new files do not get; else 022.
    pub umask: Option<u32>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program and its arguments, exactly.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

/// Whether a command reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// It reads what is sent.
    Open,
    /// It reads end of file.
    Null,
}

/// Whether a command begins as a login does: with the user's own shell and profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Login {
    /// It does not.
    #[default]
    No,
    /// It does.
    Yes,
}

/// How long a command lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is hung up when the one who asked goes away.
    Attached,
    /// It goes on by itself; its output is not kept.
    Detached,
}

/// A terminal for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its size.
    pub size: TerminalSize,
    /// The value of `TERM`.
    pub kind: String,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What happens to a running command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It wrote to its standard output (or its terminal).
    Stdout(Bytes),
    /// It wrote to its standard error.
    Stderr(Bytes),
    /// It ended, or (detached) goes on without us.
    Exited(Exit),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// By its timeout.
    TimedOut,
    /// It goes on, detached.
    Detached,
}

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Permission bits; else 0644, or those of the file that is replaced.
    pub mode: Option<u32>,
    /// Its owner, by name or number; else root.
    pub user: Option<String>,
}

/// What a path in a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Absolute path.
    pub path: String,
    /// What kind of thing.
    pub kind: FileKind,
    /// Size in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Last change of its content.
    pub modified: Timestamp,
    /// Where a symbolic link points.
    pub target: Option<String>,
}

/// Kinds of things with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// Why the guest did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// The connection to the agent ended.
    #[error("the connection to the guest was lost")]
    Lost,
    /// What came from the guest is not the agent's protocol.
    #[error("the guest does not speak the agent's protocol: {0}")]
    Garbage(String),
    /// The agent took too long.
    #[error("the guest did not answer within {0:?}")]
    Late(Duration),
    /// No such program in the guest.
    #[error("{0}")]
    ProgramNotFound(String),
    /// A program that may not be executed.
    #[error("{0}")]
    NotExecutable(String),
    /// No such file or folder in the guest.
    #[error("{0}")]
    NotFound(String),
    /// Nobody listens at that port in the guest.
    #[error("nobody listens at port {0} in the guest")]
    Refused(u16),
    /// The guest's disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// The request makes no sense to the guest.
    #[error("{0}")]
    Invalid(String),
    /// The agent is older than this.
    #[error("{0}")]
    Unsupported(String),
    /// Anything else the guest's system said.
    #[error("{0}")]
    Failed(String),
}

impl From<GuestError> for Refusal {
    fn from(error: GuestError) -> Self {
        let message = error.to_string();
        match error {
            GuestError::Lost | GuestError::Garbage(_) | GuestError::Late(_) => {
                Self::new(Code::ExecFailed, message).hint("`machine logs --boot NAME` shows the guest's console")
            }
            GuestError::ProgramNotFound(_) => Self::new(Code::ExecFailed, message).reason("program_not_found"),
            GuestError::NotExecutable(_) => Self::new(Code::ExecFailed, message).reason("not_executable"),
            GuestError::NotFound(_) => Self::new(Code::FileNotFound, message),
            GuestError::Refused(_) => Self::new(Code::NetworkError, message).reason("refused"),
            GuestError::NoSpace(_) => Self::new(Code::FileError, message).reason("guest_disk_full"),
            GuestError::Invalid(_) => Self::new(Code::InvalidRequest, message),
            GuestError::Unsupported(_) => Self::new(Code::NotImplemented, message),
            GuestError::Failed(_) => Self::new(Code::FileError, message),
        }
    }
}
