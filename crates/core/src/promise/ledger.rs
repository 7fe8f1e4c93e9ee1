//! The durable memory. What it answered `Ok` to survives `kill -9` and a power cut.

use async_trait::async_trait;

use crate::code::Code;
use crate::id::IntentId;
use crate::intent::{Event, Intent, Outcome};
use crate::machine::Machine;
use crate::refusal::Refusal;

/// Keeps machines, intents and events.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Records an intent and the machine with that command open, in one transaction. An open intent
    /// of the same machine is closed as superseded. Opening the same intent again changes nothing.
    async fn open(&self, intent: &Intent, machine: &Machine) -> Result<(), LedgerError>;

    /// Records that a step of an intent is done. Only a hint for people: recovery repeats steps.
    async fn note(&self, intent: &IntentId, step: &str) -> Result<(), LedgerError>;

    /// Records that an intent goes back, because of this. Durable before the first undo.
    async fn turn_back(&self, intent: &IntentId, why: &Refusal) -> Result<(), LedgerError>;

    /// Records an intent's end and where the machine rests now, and appends the event, in one transaction.
    async fn close(&self, intent: &IntentId, outcome: &Outcome, machine: &Machine) -> Result<(), LedgerError>;

    /// Records a machine as it is now, after something was seen of it or set on it, and appends the event.
    async fn witness(&self, machine: &Machine, what: &str) -> Result<(), LedgerError>;

    /// Every machine on record, the destroyed ones of the last day included.
    async fn machines(&self) -> Result<Vec<Machine>, LedgerError>;

    /// Every intent that was opened and not closed, oldest first.
    async fn unfinished(&self) -> Result<Vec<Intent>, LedgerError>;

    /// At most `limit` events after number `after`, oldest first.
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError>;
}

/// Why the ledger could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The owner has a machine by that name.
    #[error("the name is taken: {0}")]
    NameTaken(String),
    /// The disk under the ledger is full.
    #[error("cannot write the ledger: its disk is full")]
    DiskFull,
    /// It cannot be read or written.
    #[error("cannot {tried} the ledger: {detail}")]
    Broken {
        /// What was tried.
        tried: &'static str,
        /// What the store said.
        detail: String,
    },
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::NameTaken(name) => Self::new(Code::NameConflict, format!("the name is taken: {name}"))
                .hint(format!("choose another name, or destroy it first: `machine destroy {name}`"))
                .reason("already_exists"),
            LedgerError::DiskFull => {
                Self::new(Code::DiskFull, error.to_string()).hint("free some space; nothing was changed")
            }
            LedgerError::Broken { .. } => Self::new(Code::LedgerUnavailable, error.to_string())
                .hint("nothing was changed; look at the server's log"),
        }
    }
}
