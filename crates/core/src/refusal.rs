//! A refusal: what cannot be done, why, and what to do instead.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::command::Command;
use crate::state::{State, Why};

/// What a person or a program is told instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What was tried on what, and why it failed. Lower case, no full stop.
    pub message: String,
    /// The next step, if there is one.
    pub hint: Option<String>,
    /// Our own finer word, where the contract's code is coarser.
    pub reason: Option<String>,
    /// The machine it is about.
    pub machine: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, reason: None, machine: None }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds our own finer word.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Names the machine it is about.
    #[must_use]
    pub fn about(mut self, machine: impl Into<String>) -> Self {
        self.machine = Some(machine.into());
        self
    }

    /// What the lifecycle's `Why` means for the machine that people call `name`.
    #[must_use]
    pub fn of_lifecycle(why: Why, name: &str, state: State, command: Command) -> Self {
        let refusal = match why {
            Why::NotFound => Self::machine_not_found(name),
            Why::Gone => Self::new(Code::MachineNotFound, format!("machine {name} was destroyed"))
                .hint("make a new one with `machine create`"),
            Why::AlreadyExists => Self::new(Code::NameConflict, format!("machine {name} exists already"))
                .hint("choose another name, or destroy it first"),
            Why::NotRunning => Self::new(
                Code::MachineNotReady,
                format!("machine {name} is {}; it must run to {}", state.word(), command.word()),
            )
            .hint(format!("start it with `machine start {name}`")),
            Why::IsHibernated => Self::new(Code::MachineNotReady, format!("machine {name} is hibernated"))
                .hint(format!("resume it with `machine resume {name}`")),
            Why::NeedsRepair => Self::new(Code::MachineNotReady, format!("machine {name} failed"))
                .hint(format!("boot it again, its disk is kept: `machine start {name}`")),
            Why::Busy(open) => {
                Self::new(Code::TransitionInProgress, format!("machine {name} is busy: {} is under way", open.word()))
                    .hint("try again when it is done, or destroy the machine")
            }
        };
        refusal.reason(why.word()).about(name)
    }

    /// No machine by that reference.
    #[must_use]
    pub fn machine_not_found(reference: &str) -> Self {
        Self::new(Code::MachineNotFound, format!("no machine: {reference}"))
            .hint("`machine ls` lists the machines")
            .reason("not_found")
    }
}

impl Why {
    /// Our own word for it, the `reason` on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Gone => "gone",
            Self::NotRunning => "not_running",
            Self::IsHibernated => "is_hibernated",
            Self::NeedsRepair => "needs_repair",
            Self::Busy(_) => "busy",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
