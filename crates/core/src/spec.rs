//! What a machine shall be. Everything in it was checked at the door.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::digest::Digest;
use crate::mount::MountSpec;
use crate::name::{MachineName, TemplateName};
use crate::network::NetworkSpec;
use crate::size::MiB;
use crate::state::State;

/// A machine as it was asked for, with its template pinned to one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Its name, unique per owner; also its host name. A machine without one is called by its id.
    pub name: Option<MachineName>,
    /// The template it is made from, as it was asked for.
    pub template: TemplateName,
    /// What that name meant when the machine was made.
    pub template_digest: Digest,
    /// Virtual processors, at least one.
    pub cpus: u32,
    /// Guest memory.
    pub memory: MiB,
    /// Size of the root disk as the guest sees it.
    pub disk: MiB,
    /// Environment of every command that runs in it.
    pub envs: BTreeMap<String, String>,
    /// Labels for people and programs to select by.
    pub labels: BTreeMap<String, String>,
    /// Any JSON object, kept as it came; its text form.
    pub metadata: String,
    /// Folder in which commands start unless they say otherwise.
    pub cwd: Option<String>,
    /// How its first start gets going.
    #[serde(default)]
    pub first_start: FirstStart,
    /// Its network.
    #[serde(default)]
    pub network: NetworkSpec,
    /// What becomes of its root disk when it stops.
    #[serde(default)]
    pub root: RootLife,
    /// Folders of the host that it sees. No two at one place of the guest.
    #[serde(default)]
    pub mounts: Vec<MountSpec>,
    /// How long it is waited for.
    #[serde(default)]
    pub deadlines: Deadlines,
}

/// How long a machine is waited for, where that is not as its place usually waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deadlines {
    /// From its launch until its agent answers.
    #[serde(default)]
    pub boot: Option<Duration>,
    /// Between asking its programs to end and ending them.
    #[serde(default)]
    pub stop: Option<Duration>,
}

/// What becomes of a machine's root disk when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootLife {
    /// It is kept.
    #[default]
    Persistent,
    /// It is given up: the next start begins with the template's. A machine that failed keeps it.
    Ephemeral,
    /// There is nothing to keep: the guest cannot write to it. What programs must write lies in memory.
    ReadOnly,
}

/// What a command means for a machine's root disk. Pure, and follows from what is on record, so that a command
/// which is repeated after a crash means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootFate {
    /// It stays: a start boots from it, unless it was never used.
    Kept,
    /// Nobody needs it any more: a start begins with the template's, as a first start does, and a machine that
    /// was stopped has none.
    GivenUp,
}

impl RootLife {
    /// What a command, asked of a machine that rests in this state, means for its root disk.
    #[must_use]
    pub fn fate(self, from: State, command: Command) -> RootFate {
        match (self, command) {
            (Self::Ephemeral | Self::ReadOnly, Command::Start | Command::Resume) => match from {
                State::Stopped => RootFate::GivenUp,
                State::Absent
                | State::Running
                | State::Paused
                | State::Hibernated
                | State::Failed
                | State::Destroyed => RootFate::Kept,
            },
            (Self::Ephemeral | Self::ReadOnly, Command::Stop) => RootFate::GivenUp,
            (Self::Persistent, Command::Start | Command::Resume | Command::Stop) => RootFate::Kept,
            (
                Self::Persistent | Self::Ephemeral | Self::ReadOnly,
                Command::Create
                | Command::Pause
                | Command::Hibernate
                | Command::Snapshot
                | Command::Restore
                | Command::Destroy,
            ) => RootFate::Kept,
        }
    }
}

/// How a machine's first start gets going; every later one boots, unless its root disk was given up before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstStart {
    /// From the memory image of its template; one that is not there is made.
    #[default]
    Image,
    /// By booting, whatever images there are.
    Boot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persistent_root_is_never_given_up() {
        for state in State::ALL {
            for command in Command::ALL {
                assert_eq!(RootLife::Persistent.fate(state, command), RootFate::Kept, "{state:?} {command:?}");
            }
        }
    }

    #[test]
    fn other_roots_are_given_up_by_a_stop_and_by_a_start_after_one_and_by_nothing_else() {
        for life in [RootLife::Ephemeral, RootLife::ReadOnly] {
            for state in State::ALL {
                for command in Command::ALL {
                    let is_given_up = command == Command::Stop
                        || state == State::Stopped && [Command::Start, Command::Resume].contains(&command);
                    let fate = if is_given_up { RootFate::GivenUp } else { RootFate::Kept };
                    assert_eq!(life.fate(state, command), fate, "{life:?} {state:?} {command:?}");
                }
            }
        }
    }
}
