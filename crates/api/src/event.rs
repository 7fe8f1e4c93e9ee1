//! The history of machines, append-only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::word::MachineState;

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventInfo {
    /// Its place in the history; grows.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The machine's id.
    pub machine: String,
    /// What happened.
    pub what: String,
    /// Where the machine rests since.
    pub state: MachineState,
    /// Why, if something failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Some events, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// They.
    pub events: Vec<EventInfo>,
    /// Ask with `after` of this number for what follows.
    pub last: u64,
}

impl From<machine_core::intent::Event> for EventInfo {
    fn from(event: machine_core::intent::Event) -> Self {
        Self {
            number: event.number,
            at: event.at,
            machine: event.machine.to_string(),
            what: event.what,
            state: event.state.into(),
            reason: event.reason,
        }
    }
}
