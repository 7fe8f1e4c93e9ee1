//! A durable intent: what was promised before anything was done.
//!
//! ```text
//! Forward ──every step noted──▶ closed: Landed
//!    └──a step failed──▶ Back ──every step undone──▶ closed: TurnedBack
//!    └──destroy came──▶ closed: Superseded
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::id::{IntentId, MachineId};
use crate::refusal::Refusal;
use crate::state::State;

/// One command that was promised and is being carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its id.
    pub id: IntentId,
    /// The machine it is about.
    pub machine: MachineId,
    /// What was promised.
    pub command: Command,
    /// Where the machine rested before.
    pub from: State,
    /// Where it rests when the intent lands.
    pub to: State,
    /// Which way it goes now.
    pub direction: Direction,
    /// The request that asked for it.
    pub request: Option<String>,
    /// When it was promised.
    pub opened_at: Timestamp,
}

/// Which way an intent goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Steps are made so.
    Forward,
    /// Steps are undone, because of this.
    Back(Refusal),
}

/// How an intent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The machine rests where it was going.
    Landed,
    /// The machine rests where it was, because of this.
    TurnedBack(Refusal),
    /// Destroy came in between.
    Superseded,
}

/// One line of a machine's history; append-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the history; grows.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The machine it is about.
    pub machine: MachineId,
    /// What happened: a command's word with its outcome, or a sighting.
    pub what: String,
    /// Where the machine rests since.
    pub state: State,
    /// Why, if something failed.
    pub reason: Option<String>,
}
