//! Programs that a machine keeps running.

use std::collections::BTreeMap;

use jiff::Timestamp;
use machine_core::promise::guest::{Exit, Program};
use machine_core::promise::service::{
    RestartPolicy, ServiceOrigin, ServiceSpec, ServiceState, ServiceStatus, ServiceTurn,
};
use serde::{Deserialize, Serialize};

/// All services that a machine shall keep running, beside its image's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetServices {
    /// Each of them.
    pub services: Vec<ServiceWish>,
}

/// A program to keep running: one of `argv` and `shell` says which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceWish {
    /// Its name: small letters, digits, `-`, `_` and `.`, at most 64.
    pub name: String,
    /// The program and its arguments, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// A line for the guest's shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// The guest's user; else root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Folder to start in; else the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Environment on top of the machine's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub envs: BTreeMap<String, String>,
    /// What follows its end.
    #[serde(default)]
    pub restart: RestartWord,
}

impl ServiceWish {
    /// The domain's words for it.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn understand(self) -> Result<ServiceSpec, String> {
        let program = match (self.argv, self.shell) {
            (Some(argv), None) => Program::Argv(argv),
            (None, Some(line)) => Program::Shell(line),
            (Some(_), Some(_)) | (None, None) => {
                return Err(format!("{}: exactly one of argv and shell says what to run", self.name));
            }
        };
        let restart = self.restart.into();
        Ok(ServiceSpec { name: self.name, program, user: self.user, cwd: self.cwd, envs: self.envs, restart })
    }
}

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartWord {
    /// Never.
    No,
    /// If it ended badly.
    #[default]
    OnFailure,
    /// However it ended.
    Always,
}

impl From<RestartWord> for RestartPolicy {
    fn from(word: RestartWord) -> Self {
        match word {
            RestartWord::No => Self::No,
            RestartWord::OnFailure => Self::OnFailure,
            RestartWord::Always => Self::Always,
        }
    }
}

/// What is to become of a service; a word of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnWord {
    /// It runs, if it did not.
    Start,
    /// It ends, and stays so until it is started.
    Stop,
    /// It ends, if it runs, and begins anew.
    Restart,
}

impl TurnWord {
    /// The word of the path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

impl From<TurnWord> for ServiceTurn {
    fn from(word: TurnWord) -> Self {
        match word {
            TurnWord::Start => Self::Start,
            TurnWord::Stop => Self::Stop,
            TurnWord::Restart => Self::Restart,
        }
    }
}

/// The services of a machine, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineServices {
    /// The machine's id.
    pub machine_id: String,
    /// Each of them, the image's own too.
    pub services: Vec<ServiceInfo>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ServiceStateWord,
    /// Its process, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// The code with which it ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Since when it is so, by the guest's clock.
    pub since: Timestamp,
    /// Whose it is.
    pub origin: ServiceOriginWord,
    /// Why it could not be started, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceStateWord {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceOriginWord {
    /// It was named over this API.
    Project,
    /// The image brought it.
    Image,
}

impl ServiceInfo {
    /// The wire's view of a service.
    #[must_use]
    pub fn of(status: ServiceStatus) -> Self {
        let (exit_code, signal) = match status.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            Some(Exit::TimedOut | Exit::Detached) | None => (None, None),
        };
        Self {
            name: status.name,
            state: match status.state {
                ServiceState::Running => ServiceStateWord::Running,
                ServiceState::Waiting => ServiceStateWord::Waiting,
                ServiceState::Ended => ServiceStateWord::Ended,
                ServiceState::Failed => ServiceStateWord::Failed,
            },
            pid: status.pid,
            restarts: status.restarts,
            exit_code,
            signal,
            since: status.since,
            origin: match status.origin {
                ServiceOrigin::Project => ServiceOriginWord::Project,
                ServiceOrigin::Image => ServiceOriginWord::Image,
            },
            why: status.why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_one_program() {
        let wish = |text: &str| serde_json::from_str::<ServiceWish>(text).unwrap();
        let spec = wish(r#"{"name":"a","argv":["x"],"restart":"always"}"#).understand().unwrap();
        assert_eq!((spec.program, spec.restart), (Program::Argv(vec!["x".to_owned()]), RestartPolicy::Always));
        assert_eq!(wish(r#"{"name":"a","shell":"x"}"#).understand().unwrap().restart, RestartPolicy::OnFailure);
        assert!(wish(r#"{"name":"a"}"#).understand().is_err());
        assert!(wish(r#"{"name":"a","shell":"x","argv":["y"]}"#).understand().is_err());
        assert!(serde_json::from_str::<ServiceWish>(r#"{"name":"a","typo":1}"#).is_err());
    }
}
