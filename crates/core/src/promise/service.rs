//! Programs that a guest keeps running. What it says of them comes from a hostile guest.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::promise::guest::{Exit, FileSource, GuestError, Program};
use crate::promise::project::{Following, NoProject};

/// No guest keeps more.
pub const MOST_SERVICES: usize = 64;

/// The services of a guest.
#[async_trait]
pub trait GuestServices: Send + Sync {
    /// Keeps exactly these running, beside the image's own. What is as before goes on.
    async fn set(&self, services: Vec<ServiceSpec>) -> Result<Vec<ServiceStatus>, GuestError>;

    /// How they are, in the order of their names.
    async fn list(&self) -> Result<Vec<ServiceStatus>, GuestError>;

    /// Starts, stops or restarts one; answers how it is when that is done. `NotFound` if there is none.
    async fn turn(&self, name: &str, turn: ServiceTurn) -> Result<ServiceStatus, GuestError>;

    /// What one said: its last lines, or all that is kept, and what it says from now on, if it is followed.
    async fn log(&self, name: &str, following: Following, tail: Option<u32>)
    -> Result<Box<dyn FileSource>, GuestError>;
}

/// A program to keep running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its name: small letters, digits, `-`, `_` and `.`, at most 64.
    pub name: String,
    /// What to run.
    pub program: Program,
    /// The guest's user, by name or number; else root.
    pub user: Option<String>,
    /// Folder to start in; as for a command.
    pub cwd: Option<String>,
    /// Environment on top of the machine's.
    pub envs: BTreeMap<String, String>,
    /// What follows its end.
    pub restart: RestartPolicy,
}

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// Never.
    No,
    /// If it ended badly.
    #[default]
    OnFailure,
    /// However it ended.
    Always,
}

/// What is to become of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceTurn {
    /// It runs, if it did not.
    Start,
    /// It ends, and stays so until it is started.
    Stop,
    /// It ends, if it runs, and begins anew.
    Restart,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// It runs.
    Running,
    /// It will be started.
    Waiting,
    /// It ended well, or was stopped.
    Ended,
    /// It ended badly, or could not be started, and is not started again.
    Failed,
}

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceOrigin {
    /// The host named it.
    Project,
    /// The image brought it.
    Image,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ServiceState,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// How it ended last.
    pub exit: Option<Exit>,
    /// Since when it is so, by the guest's clock.
    pub since: Timestamp,
    /// Whose it is.
    pub origin: ServiceOrigin,
    /// Why it could not be started, if it could not; short and plain.
    pub why: Option<String>,
}

fn cannot<T>() -> Result<T, GuestError> {
    Err(GuestError::Unsupported("this guest keeps no services: its agent is older than this server".to_owned()))
}

#[async_trait]
impl GuestServices for NoProject {
    async fn set(&self, _services: Vec<ServiceSpec>) -> Result<Vec<ServiceStatus>, GuestError> {
        cannot()
    }
    async fn list(&self) -> Result<Vec<ServiceStatus>, GuestError> {
        cannot()
    }
    async fn turn(&self, _name: &str, _turn: ServiceTurn) -> Result<ServiceStatus, GuestError> {
        cannot()
    }
    async fn log(
        &self,
        _name: &str,
        _following: Following,
        _tail: Option<u32>,
    ) -> Result<Box<dyn FileSource>, GuestError> {
        cannot()
    }
}
