//! Which services there are, and who keeps each. Waits for nobody.
//!
//! ```text
//! absent ──named──▶ kept ──named otherwise──▶ the old one is let go, the new one waits for its end
//!                     └──not named any more──▶ let go ──ended──▶ absent
//! ```

use super::keeper::{self, Status};
use super::wanted::Wanted;
use super::{Means, Order, unknown};
use crate::failure::invalid;
use machine_agent_protocol::{Failed, ServiceOrigin, ServiceStatus, Turn};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// What is asked of the roster.
#[derive(Debug)]
pub(super) enum Ask {
    /// Keep the image's.
    Adopt(Vec<Wanted>),
    /// Keep just these of the host's.
    Set(Vec<Wanted>, oneshot::Sender<Result<(), Failed>>),
    List(oneshot::Sender<Vec<ServiceStatus>>),
    /// Answers what tells when it is done.
    Turn(String, Turn, oneshot::Sender<Result<oneshot::Receiver<()>, Failed>>),
}

/// A service that is kept. Dropped, its keeper ends it.
struct Kept {
    wanted: Wanted,
    orders: mpsc::UnboundedSender<Order>,
    status: watch::Receiver<Status>,
    keeper: JoinHandle<()>,
}

pub(super) struct Roster {
    means: Means,
    kept: BTreeMap<String, Kept>,
    /// Keepers that end what is not wanted any more.
    leaving: BTreeMap<String, JoinHandle<()>>,
}

impl Roster {
    pub(super) fn new(means: Means) -> Self {
        Self { means, kept: BTreeMap::new(), leaving: BTreeMap::new() }
    }

    pub(super) async fn serve(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            // Whoever asked may have left.
            match ask {
                Ask::Adopt(services) => services.into_iter().for_each(|wanted| self.keep(wanted)),
                Ask::Set(services, reply) => reply.send(self.set(services)).unwrap_or_default(),
                Ask::List(reply) => reply.send(self.list()).unwrap_or_default(),
                Ask::Turn(name, turn, reply) => reply.send(self.turn(&name, turn)).unwrap_or_default(),
            }
        }
    }

    fn set(&mut self, services: Vec<Wanted>) -> Result<(), Failed> {
        let is_image = |name: &String| {
            self.kept.get(name).is_some_and(|kept| match kept.wanted.origin() {
                ServiceOrigin::Image => true,
                ServiceOrigin::Project => false,
            })
        };
        if let Some(taken) = services.iter().find(|wanted| is_image(&wanted.name)) {
            return Err(invalid(format!("the image has a service of its own that is called {}", taken.name)));
        }
        let gone: Vec<String> = self
            .kept
            .iter()
            .filter(|(name, _)| !is_image(name))
            .filter(|(_, kept)| !services.contains(&kept.wanted))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.let_go(&name);
        }
        for wanted in services {
            if !self.kept.contains_key(&wanted.name) {
                self.keep(wanted);
            }
        }
        Ok(())
    }

    fn keep(&mut self, wanted: Wanted) {
        let before = self.leaving.remove(&wanted.name);
        let (orders, inbox) = mpsc::unbounded_channel();
        let (tell, status) = watch::channel(Status::waiting());
        let keeper = tokio::spawn(keeper::keep(self.means.clone(), wanted.clone(), before, inbox, tell));
        self.kept.insert(wanted.name.clone(), Kept { wanted, orders, status, keeper });
    }

    fn let_go(&mut self, name: &str) {
        self.leaving.retain(|_, keeper| !keeper.is_finished());
        if let Some(Kept { keeper, .. }) = self.kept.remove(name) {
            self.leaving.insert(name.to_owned(), keeper);
        }
    }

    fn list(&self) -> Vec<ServiceStatus> {
        self.kept.values().map(|kept| kept.status.borrow().told(&kept.wanted)).collect()
    }

    fn turn(&self, name: &str, turn: Turn) -> Result<oneshot::Receiver<()>, Failed> {
        let kept = self.kept.get(name).ok_or_else(|| unknown(name))?;
        let (done, is_done) = oneshot::channel();
        kept.orders.send(Order { turn, done }).map_err(|_| unknown(name))?;
        Ok(is_done)
    }
}
