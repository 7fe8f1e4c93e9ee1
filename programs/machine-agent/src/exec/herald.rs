//! Says that a command began: not before somebody may need to know, and before all else that is said of it.
//!
//! ```text
//! Held ──first output, end, or time──▶ said
//! ```
//! Most commands are short. For them `Started` travels with `Exited`, in one write and one wake-up of the
//! host, and the processor that the command runs on is not taken away from it in between.

use crate::line::{Gone, Teller};
use machine_agent_protocol::{Channel, Exec, Started, Stdin};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Shorter than anybody notices, longer than a short command on an emulated processor.
const HOLD: Duration = Duration::from_millis(20);

/// The telling half of one attended command.
#[derive(Debug)]
pub(super) struct Herald {
    teller: Teller,
    started: Started,
    due: Option<Instant>,
    said: OnceCell<()>,
}

impl Herald {
    /// Whoever has input for the command waits for `Started` to give it.
    pub(super) fn new(exec: &Exec, started: Started, teller: Teller) -> Self {
        let may_wait = exec.tty.is_none() && exec.stdin == Stdin::Null;
        Self { teller, started, due: may_wait.then(|| Instant::now() + HOLD), said: OnceCell::new() }
    }

    /// Says it, if it was not said. Nobody returns from here before it was.
    pub(super) async fn say(&self) {
        self.said.get_or_init(|| self.teller.answer(self.started.clone())).await;
    }

    /// Says it when it is time; never ends if it was said.
    pub(super) async fn say_when_due(&self) {
        match (self.said.get(), self.due) {
            (Some(()), _) => return std::future::pending().await,
            (None, Some(due)) => tokio::time::sleep_until(due).await,
            (None, None) => {}
        }
        self.say().await;
    }

    pub(super) async fn data(&self, channel: Channel, bytes: Vec<u8>) -> Result<(), Gone> {
        self.say().await;
        self.teller.data(channel, bytes).await
    }

    pub(super) fn teller(&self) -> &Teller {
        &self.teller
    }
}
