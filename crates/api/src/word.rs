//! Words of the wire that stand for the domain's enums. The domain's enums may grow: each
//! conversion names every variant, so that the compiler asks what the new one is called here.

use std::fmt;

use machine_core::state::{Phase, Standing};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident from $source:path { $( $variant:ident = $word:literal, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $( #[doc = concat!("`", $word, "`")] #[serde(rename = $word)] $variant, )+
        }

        impl $name {
            /// Every word, in order.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The word as it stands on the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }

            /// Reads a word from the wire.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $( $word => Some(Self::$variant), )+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl From<$source> for $name {
            fn from(source: $source) -> Self {
                use $source as Source;
                match source { $( Source::$variant => Self::$variant, )+ }
            }
        }

        impl From<$name> for $source {
            fn from(word: $name) -> Self {
                use $source as Source;
                match word { $( $name::$variant => Source::$variant, )+ }
            }
        }
    };
}

words! {
    /// Where a machine rests.
    MachineState from machine_core::State {
        Absent = "absent",
        Stopped = "stopped",
        Running = "running",
        Paused = "paused",
        Hibernated = "hibernated",
        Failed = "failed",
        Destroyed = "destroyed",
    }
}

words! {
    /// What people see of a machine: its state, or the command under way.
    MachinePhase from machine_core::state::Phase {
        Absent = "absent",
        Stopped = "stopped",
        Running = "running",
        Paused = "paused",
        Hibernated = "hibernated",
        Failed = "failed",
        Destroyed = "destroyed",
        Creating = "creating",
        Starting = "starting",
        Pausing = "pausing",
        Resuming = "resuming",
        Hibernating = "hibernating",
        Snapshotting = "snapshotting",
        Restoring = "restoring",
        Stopping = "stopping",
        Destroying = "destroying",
    }
}

words! {
    /// A command of the lifecycle.
    CommandWord from machine_core::Command {
        Create = "create",
        Start = "start",
        Pause = "pause",
        Resume = "resume",
        Hibernate = "hibernate",
        Snapshot = "snapshot",
        Restore = "restore",
        Stop = "stop",
        Destroy = "destroy",
    }
}

words! {
    /// One stage of long work.
    StageWord from machine_core::Stage {
        Resolve = "resolve",
        Fetch = "fetch",
        Kernel = "kernel",
        Build = "build",
        Disk = "disk",
        Seal = "seal",
        Boot = "boot",
        Keep = "keep",
        Restore = "restore",
        Save = "save",
        Load = "load",
        Agent = "agent",
        Provision = "provision",
        Ready = "ready",
        PowerOff = "power_off",
        Remove = "remove",
    }
}

words! {
    /// What a start was served by.
    ServiceWord from machine_core::machine::Service {
        Image = "image",
        Boot = "boot",
        Saved = "saved",
    }
}

words! {
    /// Whether a machine has a network.
    NetworkModeWord from machine_core::network::NetworkMode {
        User = "user",
        None = "none",
    }
}

words! {
    /// What becomes of a machine's root disk when it stops.
    RootWord from machine_core::spec::RootLife {
        Persistent = "persistent",
        Ephemeral = "ephemeral",
        ReadOnly = "readonly",
    }
}

impl Default for RootWord {
    fn default() -> Self {
        machine_core::spec::RootLife::default().into()
    }
}

words! {
    /// What a guest may do to a folder of the host.
    AccessWord from machine_core::mount::Access {
        ReadWrite = "read_write",
        ReadOnly = "read_only",
    }
}

words! {
    /// What carries bytes between ports.
    TransportWord from machine_core::network::Transport {
        Tcp = "tcp",
        Udp = "udp",
    }
}

words! {
    /// Allowed or not.
    VerdictWord from machine_core::policy::egress::Verdict {
        Allow = "allow",
        Deny = "deny",
    }
}

words! {
    /// What a rule is about.
    ProtocolWord from machine_core::policy::egress::Protocol {
        Tcp = "tcp",
        Udp = "udp",
        Icmp = "icmp",
    }
}

words! {
    /// What an allowed connection must show first: nothing, or a name in TLS or HTTP that is allowed.
    ConditionWord from machine_core::policy::egress::Condition {
        None = "none",
        Name = "name",
    }
}

/// The contract's five words for a machine; `state` and `phase` say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Being made: until its first start ended.
    Creating,
    /// It runs.
    Running,
    /// It can be started or resumed.
    Paused,
    /// Gone.
    Destroyed,
    /// It failed.
    Error,
}

impl Status {
    /// Every word, in order.
    pub const ALL: &[Self] = &[Self::Creating, Self::Running, Self::Paused, Self::Destroyed, Self::Error];

    /// The word as it stands on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Destroyed => "destroyed",
            Self::Error => "error",
        }
    }

    /// The word for a machine that stands so and was `before` started or not.
    #[must_use]
    pub fn of(standing: Standing, before: StartedBefore) -> Self {
        match (machine_core::state::phase(standing), before) {
            (Phase::Absent | Phase::Creating, _) | (Phase::Starting, StartedBefore::No) => Self::Creating,
            (Phase::Running | Phase::Pausing | Phase::Hibernating | Phase::Snapshotting | Phase::Stopping, _) => {
                Self::at_rest(standing)
            }
            (Phase::Starting | Phase::Resuming | Phase::Restoring, _) => Self::at_rest(standing),
            (Phase::Stopped | Phase::Paused | Phase::Hibernated, _) => Self::Paused,
            (Phase::Failed, _) => Self::Error,
            (Phase::Destroyed, _) => Self::Destroyed,
            (Phase::Destroying, _) => Self::at_rest(standing),
        }
    }

    const fn at_rest(standing: Standing) -> Self {
        match standing.state {
            machine_core::State::Absent => Self::Creating,
            machine_core::State::Running => Self::Running,
            machine_core::State::Stopped | machine_core::State::Paused | machine_core::State::Hibernated => {
                Self::Paused
            }
            machine_core::State::Failed => Self::Error,
            machine_core::State::Destroyed => Self::Destroyed,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Whether a machine ever ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedBefore {
    /// It did.
    Yes,
    /// It never did.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_core::{Command, State};

    fn check(state: State, open: Option<Command>, before: StartedBefore, status: Status) {
        assert_eq!(Status::of(Standing { state, open }, before), status, "{state:?} {open:?} {before:?}");
    }

    #[test]
    fn a_machine_is_creating_until_its_first_start_ended() {
        check(State::Absent, Some(Command::Create), StartedBefore::No, Status::Creating);
        check(State::Stopped, Some(Command::Start), StartedBefore::No, Status::Creating);
        check(State::Running, None, StartedBefore::Yes, Status::Running);
        check(State::Stopped, Some(Command::Start), StartedBefore::Yes, Status::Paused);
    }

    #[test]
    fn every_resting_state_is_one_of_the_five_words() {
        for (state, status) in [
            (State::Stopped, Status::Paused),
            (State::Paused, Status::Paused),
            (State::Hibernated, Status::Paused),
            (State::Failed, Status::Error),
            (State::Destroyed, Status::Destroyed),
        ] {
            check(state, None, StartedBefore::Yes, status);
        }
    }

    #[test]
    fn words_agree_with_the_domain_and_read_back() {
        for state in State::ALL {
            assert_eq!(MachineState::from(state).word(), state.word());
            assert_eq!(State::from(MachineState::from(state)), state);
        }
        for command in Command::ALL {
            assert_eq!(CommandWord::from(command).word(), command.word());
        }
        for phase in MachinePhase::ALL {
            assert_eq!(MachinePhase::from_word(phase.word()), Some(*phase));
        }
        for stage in StageWord::ALL {
            assert_eq!(machine_core::Stage::from(*stage).word(), stage.word());
        }
    }
}
