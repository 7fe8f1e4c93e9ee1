//! The record of one machine: what it shall be, where it rests, what is under way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::id::MachineId;
use crate::name::Owner;
use crate::network::Forward;
use crate::spec::MachineSpec;
use crate::stage::{Stage, StageTime};
use crate::state::{Standing, State};

/// Counts how often a machine was launched; late reports of an earlier launch lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// What a start was served by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A memory image was mapped.
    Image,
    /// The guest's kernel booted.
    Boot,
    /// It went on with the memory that was saved.
    Saved,
}

/// One machine, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id, never reused.
    pub id: MachineId,
    /// Whose it is.
    pub owner: Owner,
    /// What it shall be.
    pub spec: MachineSpec,
    /// Where it rests.
    pub state: State,
    /// The command that is open, if any.
    pub open: Option<Command>,
    /// Why it rests where nobody sent it: the last words of a VMM that died.
    pub reason: Option<String>,
    /// The launch that is current, or was last.
    pub generation: Generation,
    /// The idempotency key of the create that made it.
    pub create_key: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last began to run.
    pub started_at: Option<Timestamp>,
    /// How long each stage of its last start took.
    pub stages: Vec<StageTime>,
    /// Ports of the host that lead to where its guest was found listening. Of this moment: on no record.
    #[serde(skip)]
    pub found_ports: Vec<Forward>,
    /// What a person should know of how it runs. Of this moment: on no record.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Machine {
    /// Its place in the lifecycle.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        Standing { state: self.state, open: self.open }
    }

    /// What served its last start; nothing, if it never ran.
    #[must_use]
    pub fn served_by(&self) -> Option<Service> {
        self.stages.iter().rev().find_map(|time| match time.stage {
            Stage::Restore => Some(Service::Image),
            Stage::Boot => Some(Service::Boot),
            Stage::Load => Some(Service::Saved),
            Stage::Resolve
            | Stage::Fetch
            | Stage::Kernel
            | Stage::Build
            | Stage::Disk
            | Stage::Seal
            | Stage::Keep
            | Stage::Save
            | Stage::Agent
            | Stage::Provision
            | Stage::Ready
            | Stage::PowerOff
            | Stage::Remove => None,
        })
    }

    /// What people call it: its name, else its id.
    #[must_use]
    pub fn called(&self) -> &str {
        self.spec.name.as_ref().map_or(self.id.as_str(), crate::name::MachineName::as_str)
    }

    /// The host name that its guest bears.
    #[must_use]
    pub fn hostname(&self) -> &str {
        self.called()
    }

    /// Whether `reference` is its id or its name.
    #[must_use]
    pub fn is_called(&self, reference: &str) -> bool {
        self.id.as_str() == reference || self.spec.name.as_ref().is_some_and(|name| name.as_str() == reference)
    }
}
