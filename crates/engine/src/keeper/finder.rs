//! Finds the ports at which the programs of a running guest listen, for machines that want it, and has ports of this
//! host lead there. Found ports are on no record: they come and go with whoever listens.
//!
//! ```text
//! Off ──the machine runs, its network finds ports──▶ Watching ──others listen──▶ (the keeper applies)
//!  ▲                                                   │  ▲
//!  └──────────the machine runs no more─────────────────┘  └── the guest was lost: reached again
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use machine_core::machine::Generation;
use machine_core::network::{Forward, NetworkMode, NetworkSpec};
use machine_core::policy::found::{Listening, found};
use machine_core::promise::guest::GuestError;
use machine_core::promise::network::NetworkError;
use machine_core::promise::project::{Following, Listener};
use machine_core::promise::provider::ProviderError;
use machine_core::{Machine, MachineId, State};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::Keeper;
use crate::network::give_ports;
use crate::promises::Promises;

/// A guest may tell of more; it gets no ports for them.
const MOST_LISTENERS: usize = 1024;
const PAUSE: Duration = Duration::from_secs(2);

/// Who listens in one machine.
#[derive(Default)]
pub(super) struct Finder(Option<Watching>);

struct Watching {
    launch: Generation,
    heard: watch::Receiver<BTreeSet<Listening>>,
    task: AbortHandle,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Finder {
    /// Watches this launch of the machine if it runs and wants it, and no other.
    pub(super) fn follow(&mut self, promises: &Promises, machine: &Machine) {
        let network = &machine.spec.network;
        if machine.state != State::Running || network.mode == NetworkMode::None || !network.finds_ports {
            self.0 = None;
        } else if self.0.as_ref().is_none_or(|watching| watching.launch != machine.generation) {
            let (tell, heard) = watch::channel(BTreeSet::new());
            let task = tokio::spawn(watch_guest(promises.clone(), machine.id.clone(), tell)).abort_handle();
            self.0 = Some(Watching { launch: machine.generation, heard, task });
        }
    }

    /// Who listens now, once that changed; never, if nobody is watched.
    pub(super) async fn news(&mut self) -> BTreeSet<Listening> {
        let Some(watching) = &mut self.0 else { return std::future::pending().await };
        match watching.heard.changed().await {
            Ok(()) => watching.heard.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

async fn watch_guest(promises: Promises, machine: MachineId, tell: watch::Sender<BTreeSet<Listening>>) {
    loop {
        match watch_once(&promises, &machine, &tell).await {
            // An agent of before this was thought of will not learn it.
            Err(ProviderError::Guest(GuestError::Unsupported(why))) => {
                return info!(%machine, why, "ports of this guest are not found");
            }
            Err(error) => debug!(%machine, %error, "the guest's ports are asked for again"),
            Ok(()) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn watch_once(
    promises: &Promises,
    machine: &MachineId,
    tell: &watch::Sender<BTreeSet<Listening>>,
) -> Result<(), ProviderError> {
    let guest = promises.provider.reach_guest(machine).await?;
    let mut source = guest.project().listeners(Following::Yes).await?;
    // By where they listen, too: a port may be closed at one address and open at another.
    let mut listeners: Vec<Listener> = Vec::new();
    while let Some(news) = source.next().await? {
        listeners.retain(|known| !news.closed.iter().any(|gone| is_at_the_same(known, gone)));
        listeners.extend(news.opened);
        listeners.truncate(MOST_LISTENERS);
        let listening: BTreeSet<Listening> =
            listeners.iter().map(|one| Listening { transport: one.transport, port: one.port }).collect();
        tell.send_if_modified(|known| {
            let changed = *known != listening;
            *known = listening;
            changed
        });
    }
    Ok(())
}

fn is_at_the_same(one: &Listener, other: &Listener) -> bool {
    (one.port, one.transport, one.address) == (other.port, other.transport, other.address)
}

impl Keeper {
    /// Has ports of this host lead to where the guest listens now. What cannot be had is left out, and said.
    pub(super) async fn find_ports(&mut self, listening: &BTreeSet<Listening>) {
        let asked = &self.machine.spec.network.forwards;
        let mut wanted = found(listening, asked, &self.machine.found_ports);
        if wanted == self.machine.found_ports || self.machine.open.is_some() {
            return;
        }
        loop {
            let network = with_found(&self.machine.spec.network, &wanted);
            match self.promises.networks.apply(&self.machine.id, &network).await {
                Ok(chosen) => {
                    give_ports(&mut wanted, chosen.get(asked.len()..).unwrap_or_default());
                    break;
                }
                Err(NetworkError::PortBusy { forward, by }) if wanted.contains(&forward) => {
                    // Somebody else has that one; the host has others.
                    debug!(machine = %self.machine.id, %forward, by, "a found port is taken; another leads there");
                    wanted.iter_mut().filter(|other| **other == forward).for_each(|other| other.listen.set_port(0));
                }
                Err(error) => return warn!(machine = %self.machine.id, %error, "a found port is not forwarded"),
            }
        }
        let mut next = self.machine.clone();
        next.found_ports = wanted;
        self.publish(next);
    }

    /// The network as its gateway follows it: what is on record, and what was found.
    pub(super) fn whole_network(&self) -> NetworkSpec {
        with_found(&self.machine.spec.network, &self.machine.found_ports)
    }
}

pub(super) fn with_found(network: &NetworkSpec, found: &[Forward]) -> NetworkSpec {
    let mut network = network.clone();
    network.forwards.extend_from_slice(found);
    network
}
