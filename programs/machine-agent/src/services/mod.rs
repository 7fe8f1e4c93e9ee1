//! Keeps programs running: the image's own (each executable in /etc/machine/services) and those that the host named.
//!
//! ```text
//! requests ──▶ roster (one task: which services there are) ──orders──▶ keeper (one task a service) ──▶ log
//! ```
//! Whose states are drawn in `keeper`. Output goes to /var/log/machine/NAME.log (see `log`), and from there to
//! whoever wants to read it (see `reading`). At power off services get SIGTERM like everybody, and stay ended.

mod keeper;
mod log;
mod reading;
mod roster;
mod wanted;

use crate::failure::invalid;
use crate::house::DefaultEnv;
use crate::line::Line;
use crate::reaper::Reaper;
use crate::script;
use machine_agent_protocol::{Answer, Failed, FailureCode, ServiceLog, Services, SetServices, Turn, TurnService};
use roster::{Ask, Roster};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use wanted::Wanted;

const FOLDER: &str = "/etc/machine/services";
const LOGS: &str = "/var/log/machine";
/// Requests that wait for the roster.
const ASKS: usize = 16;

/// What a service needs to start.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) reaper: Reaper,
    pub(crate) env: Arc<watch::Sender<DefaultEnv>>,
    /// Whether the guest powers off.
    pub(crate) off: watch::Receiver<bool>,
}

/// The handle on the roster.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    asks: mpsc::Sender<Ask>,
}

impl Desk {
    pub(crate) fn start(means: Means) -> Self {
        let (asks, inbox) = mpsc::channel(ASKS);
        tokio::spawn(Roster::new(means).serve(inbox));
        Self { asks }
    }

    /// Starts every service of the image, and sees to it.
    pub(crate) async fn run_image(&self) {
        let services = script::of_folder(FOLDER).into_iter().map(Wanted::of_image).collect();
        // The roster ends only with the process.
        self.asks.send(Ask::Adopt(services)).await.ok();
    }

    /// Keeps just these, beside the image's.
    pub(crate) async fn set(&self, set: SetServices) -> Result<Answer, Failed> {
        let wanted = wanted::parse(set)?;
        self.ask(|reply| Ask::Set(wanted, reply)).await??;
        self.list().await
    }

    pub(crate) async fn list(&self) -> Result<Answer, Failed> {
        Ok(Answer::Services(Services { services: self.ask(Ask::List).await? }))
    }

    /// Answers when it is done.
    pub(crate) async fn turn(&self, turn: TurnService) -> Result<Answer, Failed> {
        let TurnService { name, turn } = turn;
        let done = self.ask(|reply| Ask::Turn(name.clone(), turn, reply)).await??;
        // A service that is taken away meanwhile is done, too.
        done.await.ok();
        let mut services = self.ask(Ask::List).await?;
        services.retain(|service| service.name == name);
        Ok(Answer::Services(Services { services }))
    }

    /// Sends what a service said.
    pub(crate) async fn log(&self, log: ServiceLog, line: Line) {
        let known = self.ask(Ask::List).await.map(|all| all.iter().any(|service| service.name == log.name));
        match known {
            Ok(true) => reading::serve(&log, &log_of(&log.name), line).await,
            Ok(false) => line.teller.finish(unknown(&log.name)).await,
            Err(failed) => line.teller.finish(failed).await,
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Failed> {
        let (reply, answer) = oneshot::channel();
        let gone = |()| invalid("the guest ends");
        self.asks.send(ask(reply)).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))
    }
}

fn log_of(name: &str) -> PathBuf {
    Path::new(LOGS).join(format!("{name}.log"))
}

fn unknown(name: &str) -> Failed {
    Failed { code: FailureCode::NotFound, message: format!("no such service in the guest: {name:.64}") }
}

/// What is asked of a keeper.
#[derive(Debug)]
struct Order {
    turn: Turn,
    /// Told when it is so.
    done: oneshot::Sender<()>,
}
