//! A machine for one command: made, used, and removed in every case.
//!
//! ```text
//! make ──▶ made ──▶ (the command) ──▶ remove
//!   └──signal──▶ removed while it is being made
//! ```
//!
//! It has a name of our choosing, so that it can be removed before the server told its id.

use std::pin::{Pin, pin};
use std::time::Duration;

use machine_sdk::api::{Code, CreateMachine};

use super::Desk;
use super::exit::Failure;
use super::progress::Progress;
use super::session::{Caught, Signals};
use super::verb::create;

/// How long the removal of a machine that may not be known yet is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// How making it ended, where nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// It answers.
    Ready,
    /// A signal came first; nothing is left of it.
    Interrupted(Caught),
}

/// A machine for one command.
#[derive(Debug)]
pub(crate) struct Throwaway<'a> {
    desk: &'a Desk,
    /// What it is called.
    pub(crate) name: String,
}

impl<'a> Throwaway<'a> {
    /// Only a name so far.
    pub(crate) fn new(desk: &'a Desk) -> Result<Self, Failure> {
        let number = getrandom::u64()
            .map_err(|error| Failure::new(Code::InternalError, format!("cannot choose a random name: {error}")))?;
        Ok(Self { desk, name: format!("run-{number:016x}") })
    }

    /// Makes and starts it.
    pub(crate) async fn make(
        &self,
        request: CreateMachine,
        progress: &mut Progress,
        signals: &mut Signals,
    ) -> Result<Made, Failure> {
        let request = CreateMachine { name: Some(self.name.clone()), ..request };
        let mut making = pin!(create::ask(self.desk, &request, progress));
        let caught = tokio::select! {
            made = &mut making => return made.map(|_| Made::Ready),
            caught = signals.next() => caught,
        };
        let removing = remove_while_made(&self.name, making, self.desk);
        self.insist(removing, signals).await?;
        Ok(Made::Interrupted(caught))
    }

    /// Removes it; one that was never made is removed.
    pub(crate) async fn remove(&self, signals: &mut Signals) -> Result<(), Failure> {
        if !self.desk.link.reached() {
            return Ok(());
        }
        let removal = async {
            let asked = self.desk.link.ask(async |client| client.destroy(&self.name, &mut |_| ()).await);
            match asked.await {
                Err(failure) if !failure.is_machine_not_found() => Err(failure),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        self.insist(removal, signals).await
    }

    /// Waits for the removal; a person can have it left after being told what that means.
    async fn insist(
        &self,
        removal: impl Future<Output = Result<(), Failure>>,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let hint = format!("destroy it with `machine destroy --yes {}`", self.name);
        let mut removal = pin!(removal);
        let mut warned = false;
        loop {
            tokio::select! {
                removed = &mut removal => return removed.map_err(|failure| failure.hint(hint)),
                caught = signals.next() => {
                    if warned {
                        let left = format!("left the machine {} behind: its removal was interrupted", self.name);
                        return Err(Failure::new(Code::InternalError, left).hint(hint).exiting(caught.exit()));
                    }
                    warned = true;
                    self.desk.voice.say("removing the machine; once more leaves it behind");
                }
            }
        }
    }
}

/// Removes a machine that is being made: the server goes on making it until it is told otherwise, perhaps before it has
/// begun.
pub(crate) async fn remove_while_made<T>(
    name: &str,
    mut making: Pin<&mut impl Future<Output = T>>,
    desk: &Desk,
) -> Result<(), Failure> {
    let mut ended = false;
    loop {
        let known_to_have_ended = ended;
        let removal = desk.link.ask(async |client| client.destroy(name, &mut |_| ()).await);
        let mut removal = pin!(removal);
        let removed = loop {
            tokio::select! {
                removed = &mut removal => break removed,
                _ = &mut making, if !ended => ended = true,
            }
        };
        match removed {
            Err(failure) if failure.is_machine_not_found() && !known_to_have_ended => tokio::time::sleep(AGAIN).await,
            Err(failure) if !failure.is_machine_not_found() => return Err(failure),
            Ok(_) | Err(_) => return Ok(()),
        }
    }
}
