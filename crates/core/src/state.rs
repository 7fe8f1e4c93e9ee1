//! The one lifecycle, decided in one pure function.
//!
//! ```text
//! Absent ──create──▶ Stopped ──start──▶ Running ──pause──▶ Paused
//!                      ▲  ▲               │ │ ▲              │
//!                      │  └─────stop──────┘ │ └────resume────┤
//!                      │                    ▼                ▼
//!                      └──stop── Hibernated ◀──hibernate─────┘
//!  Running, Paused ──VMM died──▶ Failed ──start──▶ Running
//!  any state ──destroy──▶ Destroyed
//! ```
//!
//! A machine rests in one `State` and has at most one open `Command`. `decide` is total: the
//! compiler checks that every pair is answered. What people read (`starting`) is derived.

use serde::{Deserialize, Serialize};

use crate::command::Command;

/// Where a machine rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not made yet: only its intent exists.
    Absent,
    /// A disk, no memory.
    Stopped,
    /// Its processors run and its agent answered.
    Running,
    /// Memory in memory, processors stopped.
    Paused,
    /// Memory on disk, no process.
    Hibernated,
    /// Its VMM died under it; the root disk is kept.
    Failed,
    /// Gone; only its id is remembered.
    Destroyed,
}

/// A machine's place in the lifecycle: where it rests and what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it rests.
    pub state: State,
    /// The command that is open, if any.
    pub open: Option<Command>,
}

/// What is to be done about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Open an intent that ends in this state.
    Open(State),
    /// Close what is open as superseded, then open an intent that ends in this state.
    Supersede(State),
    /// The same command is under way: wait for it.
    Join,
    /// The goal holds; nothing is written.
    Already,
    /// It may not be done.
    Refuse(Why),
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no such machine.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// It was destroyed.
    Gone,
    /// It needs to run for this.
    NotRunning,
    /// It is hibernated; resume it first.
    IsHibernated,
    /// Its VMM died; start, stop or destroy it first.
    NeedsRepair,
    /// Another command is open.
    Busy(Command),
}

/// What people see: derived from the standing, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the state or command of the same name, as people read it")]
pub enum Phase {
    Absent,
    Stopped,
    Running,
    Paused,
    Hibernated,
    Failed,
    Destroyed,
    Creating,
    Starting,
    Pausing,
    Resuming,
    Hibernating,
    Snapshotting,
    Restoring,
    Stopping,
    Destroying,
}

/// What was seen of a machine that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sighting {
    /// The guest powered itself off.
    PoweredOff,
    /// The VMM, or the guest's kernel, died.
    VmmDied,
    /// The host was booted since.
    HostRebooted,
}

/// Decides what a command means for a machine that stands so. Total; no I/O.
#[must_use]
pub fn decide(standing: Standing, command: Command) -> Decision {
    let resting = decide_at_rest(standing.state, command);
    let Some(open) = standing.open else { return resting };
    if open == command {
        return Decision::Join;
    }
    match (command, resting) {
        (Command::Destroy, _) => Decision::Supersede(State::Destroyed),
        (Command::Create, _) => Decision::Refuse(Why::AlreadyExists),
        (_, Decision::Refuse(Why::Gone)) => resting,
        (
            Command::Start
            | Command::Pause
            | Command::Resume
            | Command::Hibernate
            | Command::Snapshot
            | Command::Restore
            | Command::Stop,
            _,
        ) => Decision::Refuse(Why::Busy(open)),
    }
}

fn decide_at_rest(state: State, command: Command) -> Decision {
    match state {
        State::Absent => absent(command),
        State::Stopped => stopped(command),
        State::Running => running(command),
        State::Paused => paused(command),
        State::Hibernated => hibernated(command),
        State::Failed => failed(command),
        State::Destroyed => destroyed(command),
    }
}

fn absent(command: Command) -> Decision {
    match command {
        Command::Create => Decision::Open(State::Stopped),
        Command::Destroy => Decision::Already,
        Command::Start
        | Command::Pause
        | Command::Resume
        | Command::Hibernate
        | Command::Snapshot
        | Command::Restore
        | Command::Stop => Decision::Refuse(Why::NotFound),
    }
}

fn stopped(command: Command) -> Decision {
    match command {
        Command::Create => Decision::Refuse(Why::AlreadyExists),
        Command::Start | Command::Resume | Command::Restore => Decision::Open(State::Running),
        Command::Pause | Command::Hibernate => Decision::Refuse(Why::NotRunning),
        Command::Snapshot => Decision::Open(State::Stopped),
        Command::Stop => Decision::Already,
        Command::Destroy => Decision::Open(State::Destroyed),
    }
}

fn running(command: Command) -> Decision {
    match command {
        Command::Create => Decision::Refuse(Why::AlreadyExists),
        Command::Start | Command::Resume => Decision::Already,
        Command::Pause => Decision::Open(State::Paused),
        Command::Hibernate => Decision::Open(State::Hibernated),
        Command::Snapshot | Command::Restore => Decision::Open(State::Running),
        Command::Stop => Decision::Open(State::Stopped),
        Command::Destroy => Decision::Open(State::Destroyed),
    }
}

fn paused(command: Command) -> Decision {
    match command {
        Command::Create => Decision::Refuse(Why::AlreadyExists),
        Command::Start | Command::Resume | Command::Restore => Decision::Open(State::Running),
        Command::Pause => Decision::Already,
        Command::Hibernate => Decision::Open(State::Hibernated),
        Command::Snapshot => Decision::Open(State::Paused),
        Command::Stop => Decision::Open(State::Stopped),
        Command::Destroy => Decision::Open(State::Destroyed),
    }
}

fn hibernated(command: Command) -> Decision {
    match command {
        Command::Create => Decision::Refuse(Why::AlreadyExists),
        Command::Start | Command::Resume | Command::Restore => Decision::Open(State::Running),
        Command::Pause => Decision::Refuse(Why::IsHibernated),
        Command::Hibernate => Decision::Already,
        Command::Snapshot => Decision::Open(State::Hibernated),
        Command::Stop => Decision::Open(State::Stopped),
        Command::Destroy => Decision::Open(State::Destroyed),
    }
}

fn failed(command: Command) -> Decision {
    match command {
        Command::Create => Decision::Refuse(Why::AlreadyExists),
        Command::Start | Command::Resume | Command::Restore => Decision::Open(State::Running),
        Command::Pause | Command::Hibernate | Command::Snapshot => Decision::Refuse(Why::NeedsRepair),
        Command::Stop => Decision::Open(State::Stopped),
        Command::Destroy => Decision::Open(State::Destroyed),
    }
}

fn destroyed(command: Command) -> Decision {
    match command {
        Command::Destroy => Decision::Already,
        Command::Create
        | Command::Start
        | Command::Pause
        | Command::Resume
        | Command::Hibernate
        | Command::Snapshot
        | Command::Restore
        | Command::Stop => Decision::Refuse(Why::Gone),
    }
}

/// Where a machine rests after something was seen of it, or `None` if that changes nothing.
#[must_use]
pub fn witness(standing: Standing, sighting: Sighting) -> Option<State> {
    if standing.open.is_some() {
        // The open command's own steps look at the world; a report beside them would race.
        return None;
    }
    match (standing.state, sighting) {
        (State::Running | State::Paused, Sighting::PoweredOff | Sighting::HostRebooted) => Some(State::Stopped),
        (State::Running | State::Paused, Sighting::VmmDied) => Some(State::Failed),
        (State::Absent | State::Stopped | State::Hibernated | State::Failed | State::Destroyed, _) => None,
    }
}

/// Whether a command, asked of a machine that rests in this state, starts a VMM: another launch of the machine.
#[must_use]
pub const fn launches(from: State, command: Command) -> bool {
    match (command, from) {
        (Command::Start | Command::Resume | Command::Restore, State::Stopped | State::Hibernated | State::Failed)
        | (Command::Restore, State::Running | State::Paused) => true,
        (Command::Start | Command::Resume, State::Running | State::Paused)
        | (Command::Start | Command::Resume | Command::Restore, State::Absent | State::Destroyed)
        | (
            Command::Create
            | Command::Pause
            | Command::Hibernate
            | Command::Snapshot
            | Command::Stop
            | Command::Destroy,
            _,
        ) => false,
    }
}

/// What people see of a machine that stands so.
#[must_use]
pub fn phase(standing: Standing) -> Phase {
    match standing.open {
        Some(Command::Create) => Phase::Creating,
        Some(Command::Start) => Phase::Starting,
        Some(Command::Pause) => Phase::Pausing,
        Some(Command::Resume) => Phase::Resuming,
        Some(Command::Hibernate) => Phase::Hibernating,
        Some(Command::Snapshot) => Phase::Snapshotting,
        Some(Command::Restore) => Phase::Restoring,
        Some(Command::Stop) => Phase::Stopping,
        Some(Command::Destroy) => Phase::Destroying,
        None => match standing.state {
            State::Absent => Phase::Absent,
            State::Stopped => Phase::Stopped,
            State::Running => Phase::Running,
            State::Paused => Phase::Paused,
            State::Hibernated => Phase::Hibernated,
            State::Failed => Phase::Failed,
            State::Destroyed => Phase::Destroyed,
        },
    }
}

/// The commands that would be taken now and change something, of those that can be carried out.
#[must_use]
pub fn allowed_commands(standing: Standing, possible: &[Command]) -> Vec<Command> {
    let changes = |command: &&Command| match decide(standing, **command) {
        Decision::Open(_) | Decision::Supersede(_) => true,
        Decision::Join | Decision::Already | Decision::Refuse(_) => false,
    };
    possible.iter().filter(changes).copied().collect()
}

impl State {
    /// Every state, in the order of the lifecycle table.
    pub const ALL: [Self; 7] =
        [Self::Absent, Self::Stopped, Self::Running, Self::Paused, Self::Hibernated, Self::Failed, Self::Destroyed];

    /// The state's name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Hibernated => "hibernated",
            Self::Failed => "failed",
            Self::Destroyed => "destroyed",
        }
    }

    /// Whether there is a machine at all.
    #[must_use]
    pub const fn exists(self) -> bool {
        match self {
            Self::Absent | Self::Destroyed => false,
            Self::Stopped | Self::Running | Self::Paused | Self::Hibernated | Self::Failed => true,
        }
    }

    /// Whether a machine that rests here occupies the host's memory.
    #[must_use]
    pub const fn holds_memory(self) -> bool {
        match self {
            Self::Running | Self::Paused => true,
            Self::Absent | Self::Stopped | Self::Hibernated | Self::Failed | Self::Destroyed => false,
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
