//! What may be asked of a machine, and which state it asks for.

use serde::{Deserialize, Serialize};

/// A command that changes a machine's state. Exec, files and terminals change none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make it: identity, folder, root disk. It rests stopped.
    Create,
    /// Boot it, until its agent answers.
    Start,
    /// Stop its processors; memory stays in memory.
    Pause,
    /// Let it go on, from wherever it rests.
    Resume,
    /// Memory to disk, process gone.
    Hibernate,
    /// Keep a copy of memory and disk while it goes on.
    Snapshot,
    /// Bring an earlier snapshot back in place.
    Restore,
    /// Power it off.
    Stop,
    /// Remove it and all that is its own.
    Destroy,
}

/// Which way a failing command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Undo what was done; the machine is where it was.
    TurnBack,
    /// Never turn back: the goal can always be reached later.
    GoOn,
}

impl Command {
    /// Every command, in the order of the lifecycle table.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Hibernate,
        Self::Snapshot,
        Self::Restore,
        Self::Stop,
        Self::Destroy,
    ];

    /// The command's name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Hibernate => "hibernate",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::Stop => "stop",
            Self::Destroy => "destroy",
        }
    }

    /// What becomes of a step that fails. Stop and Destroy only go forward.
    #[must_use]
    pub const fn on_failure(self) -> OnFailure {
        match self {
            Self::Stop | Self::Destroy => OnFailure::GoOn,
            Self::Create
            | Self::Start
            | Self::Pause
            | Self::Resume
            | Self::Hibernate
            | Self::Snapshot
            | Self::Restore => OnFailure::TurnBack,
        }
    }
}
