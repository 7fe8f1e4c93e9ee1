//! What the host may ask. Field numbers are append-only; a new field is an `Option` or has a
//! default, so that old and new understand each other.

use crate::path::GuestPath;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// Are you there? Answered by `Pong`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ping {}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// A program and its arguments, the program first.
    #[n(0)]
    Argv(#[n(0)] Vec<String>),
    /// A line for `/bin/sh -c`.
    #[n(1)]
    Shell(#[n(0)] String),
}

/// Whose rights to use.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum User {
    /// A name from the guest's `/etc/passwd`.
    #[n(0)]
    Name(#[n(0)] String),
    /// A number, which need not be in `/etc/passwd`.
    #[n(1)]
    Uid(#[n(0)] u32),
}

/// Where a command's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Stdin {
    /// Nowhere: end of file at once.
    #[default]
    #[n(0)]
    Null,
    /// From the host, on the content channel, until its end.
    #[n(1)]
    Open,
}

/// A terminal for the command. Its output comes on the stdout channel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tty {
    /// Width in characters.
    #[n(0)]
    pub cols: u16,
    /// Height in characters.
    #[n(1)]
    pub rows: u16,
    /// The value of `TERM`.
    #[n(2)]
    pub term: String,
}

/// Run a command. Answered by `Started`, then data, then `Exited`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Exec {
    /// What to run.
    #[n(0)]
    pub command: Command,
    /// Where; `/workspace` if it exists, else the user's home.
    #[n(1)]
    pub cwd: Option<GuestPath>,
    /// Added to the environment that `Identify` set.
    #[n(2)]
    #[cbor(default)]
    pub env: BTreeMap<String, String>,
    /// Who; root if not said.
    #[n(3)]
    pub user: Option<User>,
    /// Its standard input.
    #[n(4)]
    #[cbor(default)]
    pub stdin: Stdin,
    /// Its terminal, if it gets one.
    #[n(5)]
    pub tty: Option<Tty>,
    /// Ends the command (SIGTERM, two seconds later SIGKILL) after so long.
    #[n(6)]
    pub timeout_ms: Option<u64>,
    /// The command outlives the session, has no streams, and only `Started` is answered.
    #[n(7)]
    #[cbor(default)]
    pub detach: bool,
    /// Whether it begins as a login does; not, if not said.
    #[n(8)]
    pub login: Option<LoginShell>,
    /// Permission bits that its new files do not get; 022 if not said.
    #[n(9)]
    pub umask: Option<u32>,
}

/// Whether a command begins as a login does.
///
/// It then gets what `/etc/environment` says, a shell's line is for the user's own shell, which reads the user's
/// profile, and a program's name begins with a dash, as shells know it; no program at all is that shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum LoginShell {
    /// It does not.
    #[default]
    #[n(0)]
    No,
    /// It does.
    #[n(1)]
    Yes,
}

impl Exec {
    /// A command with nothing else said.
    #[must_use]
    pub fn new(command: Command) -> Self {
        let (stdin, env) = (Stdin::Null, BTreeMap::new());
        let (login, umask) = (None, None);
        Self { command, cwd: None, env, user: None, stdin, tty: None, timeout_ms: None, detach: false, login, umask }
    }

    /// A program and its arguments.
    pub fn argv<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::new(Command::Argv(argv.into_iter().map(Into::into).collect()))
    }

    /// A line for the shell.
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new(Command::Shell(line.into()))
    }
}

/// In the stream of a command: send a signal to its process group.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Signal {
    /// The number of the signal.
    #[n(0)]
    pub signal: u32,
}

/// In the stream of a command with a terminal: its window changed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Resize {
    /// Width in characters.
    #[n(0)]
    pub cols: u16,
    /// Height in characters.
    #[n(1)]
    pub rows: u16,
}

/// Send a file's content. Answered by `Opened`, then data and its end, then `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Read {
    /// Which file.
    #[n(0)]
    pub path: GuestPath,
    /// From where.
    #[n(1)]
    pub offset: Option<u64>,
    /// How much at most.
    #[n(2)]
    pub limit: Option<u64>,
    /// With whose rights.
    #[n(3)]
    pub user: Option<User>,
}

impl Read {
    /// The whole file, as root.
    pub fn new(path: impl Into<GuestPath>) -> Self {
        Self { path: path.into(), offset: None, limit: None, user: None }
    }
}

/// Take a file's content: data until its end. Answered by `Written`.
///
/// The content goes to a temporary name in the same folder and is renamed at the end, so a lost
/// session leaves no half file. A target that exists and is not a regular file is written in
/// place, and so is one that shall keep what is beyond the new content (`truncate` false).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Write {
    /// Which file.
    #[n(0)]
    pub path: GuestPath,
    /// Its permissions; if not said, those of the file that it replaces, else 0644.
    #[n(1)]
    pub mode: Option<u32>,
    /// With whose rights, and owned by whom.
    #[n(2)]
    pub user: Option<User>,
    /// Make the folders on the way.
    #[n(3)]
    #[cbor(default)]
    pub make_parents: bool,
    /// The file ends where the content ends.
    #[n(4)]
    #[cbor(default)]
    pub truncate: bool,
}

impl Write {
    /// A whole new content, as root.
    pub fn new(path: impl Into<GuestPath>) -> Self {
        Self { path: path.into(), mode: None, user: None, make_parents: false, truncate: true }
    }
}

/// List a folder. Answered by [`crate::Entry`] values, each a CBOR map, one after the other as
/// data on the content channel, its end, and `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct List {
    /// Which folder.
    #[n(0)]
    pub path: GuestPath,
    /// 1 is the folder's own entries, 2 also those of its folders, and so on.
    #[n(1)]
    pub depth: u32,
    /// With whose rights.
    #[n(2)]
    pub user: Option<User>,
}

impl List {
    /// The folder's own entries, as root.
    pub fn new(path: impl Into<GuestPath>) -> Self {
        Self { path: path.into(), depth: 1, user: None }
    }
}

/// Describe a file. Answered by `Status`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Stat {
    /// Which file.
    #[n(0)]
    pub path: GuestPath,
    /// Describe what a symbolic link leads to, not the link.
    #[n(1)]
    #[cbor(default)]
    pub follow: bool,
    /// With whose rights.
    #[n(2)]
    pub user: Option<User>,
}

impl Stat {
    /// What a link leads to, as root.
    pub fn new(path: impl Into<GuestPath>) -> Self {
        Self { path: path.into(), follow: true, user: None }
    }
}

/// Remove a file or folder. Answered by `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Remove {
    /// What.
    #[n(0)]
    pub path: GuestPath,
    /// A folder with all that is in it.
    #[n(1)]
    #[cbor(default)]
    pub recursive: bool,
    /// With whose rights.
    #[n(2)]
    pub user: Option<User>,
}

impl Remove {
    /// A file or an empty folder, as root.
    pub fn new(path: impl Into<GuestPath>) -> Self {
        Self { path: path.into(), recursive: false, user: None }
    }
}

/// Make a folder. Answered by `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mkdir {
    /// Which.
    #[n(0)]
    pub path: GuestPath,
    /// Also the folders on the way, and be content if it exists.
    #[n(1)]
    #[cbor(default)]
    pub parents: bool,
    /// Its permissions; 0755 if not said.
    #[n(2)]
    pub mode: Option<u32>,
    /// With whose rights, and owned by whom.
    #[n(3)]
    pub user: Option<User>,
}

impl Mkdir {
    /// A folder and those on the way, as root.
    pub fn new(path: impl Into<GuestPath>) -> Self {
        Self { path: path.into(), parents: true, mode: None, user: None }
    }
}

/// Give a file another name. Answered by `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rename {
    /// Its name.
    #[n(0)]
    pub from: GuestPath,
    /// Its new name; what was there is replaced.
    #[n(1)]
    pub to: GuestPath,
    /// With whose rights.
    #[n(2)]
    pub user: Option<User>,
}

/// Set the wall clock. Answered by `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SetClock {
    /// Nanoseconds since 1970.
    #[n(0)]
    pub unix_nanos: u64,
}

/// Who the guest is. Answered by `Done`. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Identify {
    /// The host name, also written to `/etc/hostname`.
    #[n(0)]
    pub hostname: Option<String>,
    /// 32 hexadecimal digits for `/etc/machine-id`.
    #[n(1)]
    pub machine_id: Option<String>,
    /// Replaces the default environment of every command started from now on.
    #[n(2)]
    pub env: Option<BTreeMap<String, String>>,
    /// Bytes to stir into the kernel's random numbers.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub entropy: Option<Vec<u8>>,
}

/// How is the guest? Answered by `Measured`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Measure {}

/// End everything and power off. Answered by `Done` before it begins.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PowerOff {
    /// How long processes have between SIGTERM and SIGKILL.
    #[n(0)]
    pub grace_ms: u64,
}
