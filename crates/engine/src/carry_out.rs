//! Runs, resumes and unwinds the steps of one intent. Recovery runs the same code as normal work.
//!
//! ```text
//! Forward: ensure₁ note₁ ensure₂ note₂ … ensureₙ ──▶ Landed
//!              └─ fails: turn_back (durable), undo₂ undo₁ ──▶ TurnedBack
//!              └─ fails, and the command never turns back: tried again, then Stuck
//! ```

use std::time::Duration;

use async_trait::async_trait;
use machine_core::command::OnFailure;
use machine_core::intent::{Direction, Intent, Outcome};
use machine_core::promise::ledger::{Ledger, LedgerError};
use machine_core::refusal::Refusal;
use tracing::warn;

/// How often a step that must go on is tried before the operation waits for the next command.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// One repeatable step of an operation.
#[async_trait]
pub trait Step: Send + Sync {
    /// Its name, for the ledger and the log.
    fn name(&self) -> &'static str;
    /// Looks, and makes it so. Twice is once.
    async fn ensure(&self) -> Result<(), Refusal>;
    /// Takes it back. Of nothing: nothing.
    async fn undo(&self) -> Result<(), Refusal>;
}

/// An intent that could be brought to no end now; it stays open and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// The ledger cannot be written: stop, do not improvise.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A step that only goes forward failed again and again.
    #[error(transparent)]
    Step(Refusal),
}

impl From<Stuck> for Refusal {
    fn from(stuck: Stuck) -> Self {
        match stuck {
            Stuck::Ledger(error) => error.into(),
            Stuck::Step(refusal) => refusal,
        }
    }
}

/// Brings an intent to its end, from wherever it is. `intent.direction` is kept true, so that an
/// intent that got stuck on its way back goes on back.
///
/// # Errors
/// `Stuck`: the intent stays open; the same call goes on with it later.
pub async fn carry_out(ledger: &dyn Ledger, intent: &mut Intent, steps: &[Box<dyn Step>]) -> Result<Outcome, Stuck> {
    if let Direction::Back(why) = &intent.direction {
        return unwind(steps, why.clone()).await;
    }
    for (place, step) in steps.iter().enumerate() {
        match go_forward(intent, step.as_ref()).await {
            // The intent is closed at once after its last step, which says the same: a note would be one
            // more sync of the disk, in the way of everyone who waits for a machine.
            Ok(()) if place + 1 == steps.len() => {}
            Ok(()) => ledger.note(&intent.id, step.name()).await?,
            Err(why) => match intent.command.on_failure() {
                OnFailure::GoOn => return Err(Stuck::Step(why)),
                OnFailure::TurnBack => {
                    ledger.turn_back(&intent.id, &why).await?;
                    intent.direction = Direction::Back(why.clone());
                    return unwind(steps, why).await;
                }
            },
        }
    }
    Ok(Outcome::Landed)
}

async fn go_forward(intent: &Intent, step: &dyn Step) -> Result<(), Refusal> {
    let tries = match intent.command.on_failure() {
        OnFailure::GoOn => TRIES,
        OnFailure::TurnBack => 1,
    };
    let mut last = step.ensure().await;
    for _ in 1..tries {
        let Err(why) = &last else { return Ok(()) };
        warn!(machine = %intent.machine, operation = intent.command.word(), step = step.name(), %why, "trying again");
        tokio::time::sleep(BETWEEN_TRIES).await;
        last = step.ensure().await;
    }
    last
}

async fn unwind(steps: &[Box<dyn Step>], why: Refusal) -> Result<Outcome, Stuck> {
    // Every step is undone, also those that never ran: undoing nothing is nothing, and only the
    // world knows how far a step came before a crash.
    for step in steps.iter().rev() {
        let mut undone = step.undo().await;
        for _ in 1..TRIES {
            if undone.is_ok() {
                break;
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
            undone = step.undo().await;
        }
        undone.map_err(Stuck::Step)?;
    }
    Ok(Outcome::TurnedBack(why))
}
