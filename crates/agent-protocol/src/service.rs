//! Programs that the guest keeps running: which, how they are, what they said.

use crate::body::Ending;
use crate::path::GuestPath;
use crate::request::{Command, User};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Restart {
    /// Never.
    #[n(0)]
    No,
    /// If it ended badly.
    #[default]
    #[n(1)]
    OnFailure,
    /// However it ended.
    #[n(2)]
    Always,
}

/// A program to keep running.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Service {
    /// Its name: small letters, digits, `-`, `_` and `.`, at most 64.
    #[n(0)]
    pub name: String,
    /// What to run.
    #[n(1)]
    pub command: Command,
    /// Who; root if not said.
    #[n(2)]
    pub user: Option<User>,
    /// Where; as for a command.
    #[n(3)]
    pub cwd: Option<GuestPath>,
    /// On top of the machine's environment.
    #[n(4)]
    #[cbor(default)]
    pub env: BTreeMap<String, String>,
    /// What follows its end.
    #[n(5)]
    #[cbor(default)]
    pub restart: Restart,
}

/// Keep exactly these running, beside the image's own. Answered by `Services`.
///
/// What is as before goes on; what changed or is gone is ended (SIGTERM to its group, ten seconds later SIGKILL).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SetServices {
    /// All of them, at most [`SetServices::MOST`].
    #[n(0)]
    #[cbor(default)]
    pub services: Vec<Service>,
}

impl SetServices {
    /// No guest keeps more.
    pub const MOST: usize = 64;
}

/// How are the services? Answered by `Services`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ListServices {}

/// What is to become of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Turn {
    /// It runs, if it did not.
    #[n(0)]
    Start,
    /// It ends, and stays so until it is started.
    #[n(1)]
    Stop,
    /// It ends, if it runs, and begins anew.
    #[n(2)]
    Restart,
}

/// Start, stop or restart a service. Answered by `Services`, of that one, when it is done.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TurnService {
    /// Which.
    #[n(0)]
    pub name: String,
    /// What becomes of it.
    #[n(1)]
    pub turn: Turn,
}

/// Send what a service said. Answered by `Done` when there is such a service, then data on the content channel, its
/// end, and `Done` once more; followed, it has no end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ServiceLog {
    /// Which.
    #[n(0)]
    pub name: String,
    /// Also what it says from now on.
    #[n(1)]
    #[cbor(default)]
    pub follow: bool,
    /// Only so many lines of what is kept.
    #[n(2)]
    pub tail: Option<u32>,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ServiceState {
    /// It runs.
    #[n(0)]
    Running,
    /// It will be started, or is being ended to be started anew.
    #[n(1)]
    Waiting,
    /// It ended well, or was stopped.
    #[n(2)]
    Ended,
    /// It ended badly, or could not be started, and is not started again.
    #[n(3)]
    Failed,
}

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum ServiceOrigin {
    /// `SetServices` named it.
    #[default]
    #[n(0)]
    Project,
    /// The image brought it.
    #[n(1)]
    Image,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ServiceStatus {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// How it is.
    #[n(1)]
    pub state: ServiceState,
    /// Its process, while it runs.
    #[n(2)]
    pub pid: Option<u32>,
    /// How often it was started again by itself.
    #[n(3)]
    #[cbor(default)]
    pub restarts: u32,
    /// How it ended last.
    #[n(4)]
    pub ending: Option<Ending>,
    /// Since when it is so, in milliseconds since 1970.
    #[n(5)]
    #[cbor(default)]
    pub since_unix_ms: u64,
    /// Whose it is.
    #[n(6)]
    #[cbor(default)]
    pub origin: ServiceOrigin,
    /// Why it could not be started, if it could not.
    #[n(7)]
    pub why: Option<String>,
}

/// The services, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Services {
    /// Each of them.
    #[n(0)]
    #[cbor(default)]
    pub services: Vec<ServiceStatus>,
}
