//! How a keeper changes its machine's network, between commands and never during one.
//!
//! ```text
//! egress, ports removed:  ledger ──▶ gateway     killed between: the next server tells the gateway
//! ports added:            gateway ──▶ ledger     killed between: the next server takes them back
//! ```
//! So nobody is answered before both have it, a port that cannot be had is never on record, and a rule that is
//! on record is followed or nothing gets out. Telling the gateway what is on record may be repeated.

use machine_core::network::{Forward, NetworkMode, NetworkSpec};
use machine_core::promise::network::NetworkError;
use machine_core::state::Why;
use machine_core::{Machine, Refusal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::finder::with_found;
use super::{Answer, Keeper};
use crate::network::{NetworkChange, give_ports};

/// What a keeper is asked beside commands.
pub(super) struct NetworkOrder {
    pub(super) change: NetworkChange,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Keeper {
    pub(super) async fn change_network(&mut self, order: NetworkOrder) {
        let answer = self.changed_network(&order.change).await.map_err(|refusal| refusal.about(self.machine.called()));
        drop(order.reply.send(answer));
    }

    async fn changed_network(&mut self, change: &NetworkChange) -> Answer {
        if let Some(open) = self.machine.open {
            return Err(Refusal::of_lifecycle(Why::Busy(open), self.machine.called(), self.machine.state, open));
        }
        let next = change.applied_to(&self.machine.spec.network)?;
        match change {
            NetworkChange::Egress(_) | NetworkChange::RemoveForwards(_) => {
                self.write_network(next, change).await?;
                self.apply_what_is_written().await?;
            }
            NetworkChange::AddForwards(_) => self.add_forwards(next, change).await?,
        }
        Ok(self.machine.clone())
    }

    /// Tells the gateway of a machine that runs what is on record. Repeated also where nothing changed: the
    /// change may be the second try of one that the gateway did not take.
    async fn apply_what_is_written(&mut self) -> Result<(), Refusal> {
        if !self.machine.state.holds_memory() {
            return Ok(());
        }
        let applied = self.promises.networks.apply(&self.machine.id, &self.whole_network()).await;
        applied.map(drop).map_err(|error| {
            let mut refusal = Refusal::from(error);
            refusal.message = format!("the change is kept, but not followed yet: {}", refusal.message);
            refusal
        })
    }

    async fn add_forwards(&mut self, mut next: NetworkSpec, change: &NetworkChange) -> Result<(), Refusal> {
        let before = self.machine.spec.network.forwards.len();
        if self.machine.state.holds_memory() {
            self.give_way(&next.forwards);
            match self.promises.networks.apply(&self.machine.id, &with_found(&next, &self.machine.found_ports)).await {
                Ok(chosen) => give_ports(&mut next.forwards, &chosen),
                Err(error) => return Err(self.take_back(error).await),
            }
        } else {
            // Ports that it had before may be taken while it does not run: its start will tell.
            let new = NetworkSpec { forwards: next.forwards[before..].to_vec(), ..next.clone() };
            let chosen = self.promises.networks.apply(&self.machine.id, &new).await?;
            give_ports(&mut next.forwards[before..], &chosen);
        }
        match self.write_network(next, change).await {
            Ok(()) => Ok(()),
            Err(refusal) => {
                self.return_to_what_is_written().await;
                Err(refusal)
            }
        }
    }

    /// What is asked for goes before what was found: of the host's port, and of the guest's.
    fn give_way(&mut self, asked: &[Forward]) {
        let meets = |found: &Forward| {
            let same = |port: &Forward| port.guest == found.guest || port.listen.port() == found.listen.port();
            asked.iter().any(|forward| forward.transport == found.transport && same(forward))
        };
        self.machine.found_ports.retain(|found| !meets(found));
    }

    /// After ports could not be added: where it is clear that nothing changed, nothing is done.
    async fn take_back(&mut self, error: NetworkError) -> Refusal {
        match &error {
            NetworkError::PortBusy { .. } | NetworkError::CannotListen { .. } | NetworkError::NoNetwork => {}
            NetworkError::Gateway { .. } | NetworkError::Provider(_) => self.return_to_what_is_written().await,
        }
        error.into()
    }

    async fn return_to_what_is_written(&mut self) {
        if let Err(refusal) = self.apply_what_is_written().await {
            warn!(machine = %self.machine.id, %refusal, "its network stays closed until it can be told");
        }
    }

    async fn write_network(&mut self, network: NetworkSpec, change: &NetworkChange) -> Result<(), Refusal> {
        if network == self.machine.spec.network {
            return Ok(());
        }
        let mut next = self.machine.clone();
        next.spec.network = network;
        self.promises.ledger.witness(&next, change.event()).await?;
        info!(machine = %next.id, what = change.event(), "network");
        self.publish(next);
        Ok(())
    }

    /// When a server takes up a machine that runs: its gateway may have missed the last change.
    pub(super) async fn take_up_network(&mut self) {
        if self.machine.spec.network.mode == NetworkMode::User {
            self.return_to_what_is_written().await;
        }
        self.relay.follow(&self.promises, &self.machine);
        self.finder.follow(&self.promises, &self.machine);
        self.mirror.follow(&self.promises, &self.machine);
    }

    /// The ports of a machine that is about to start: all free, and those that the host chooses chosen, so that
    /// they are on record before anybody listens there.
    pub(super) async fn choose_ports(&self, next: &mut Machine) -> Result<(), Refusal> {
        let forwards: &mut Vec<Forward> = &mut next.spec.network.forwards;
        if forwards.is_empty() {
            return Ok(());
        }
        let chosen = self.promises.networks.apply(&self.machine.id, &self.machine.spec.network).await;
        let chosen = chosen.map_err(|error| Refusal::from(error).about(self.machine.called()))?;
        give_ports(forwards, &chosen);
        Ok(())
    }
}
