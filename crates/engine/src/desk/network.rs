//! Networks of machines: changed through their keepers, explained and their logs read beside them.

use bytes::Bytes;
use machine_core::network::NetworkMode;
use machine_core::promise::network::{Explanation, Question};
use machine_core::{Machine, Owner, Refusal};

use super::{Asked, Desk};
use crate::keeper::Answer;
use crate::network::{NetworkChange, no_network};

impl Desk {
    /// Changes a machine's network, and answers the machine when both the record and, if it runs, its gateway
    /// have the change.
    ///
    /// # Errors
    /// `invalid_request` with reason `no_network` if it has none, `port_conflict`, `transition_in_progress`;
    /// `network_error` if the gateway does not follow: rules are on record then, ports are not.
    pub async fn set_network(&self, asked: &Asked, reference: &str, change: NetworkChange) -> Answer {
        self.keeper(&asked.owner, reference).await?.change_network(change).await
    }

    /// What would happen to a connection of a machine.
    ///
    /// # Errors
    /// A refusal.
    pub async fn explain(
        &self,
        owner: &Owner,
        reference: &str,
        question: &Question,
    ) -> Result<(Machine, Explanation), Refusal> {
        let machine = self.networked(owner, reference).await?;
        let explained = self.promises.networks.explain(&machine.id, &machine.spec.network, question).await;
        let explained = explained.map_err(|error| Refusal::from(error).about(machine.called()))?;
        Ok((machine, explained))
    }

    /// The end of the log of what a machine was refused, at most this many bytes.
    ///
    /// # Errors
    /// A refusal.
    pub async fn network_log(&self, owner: &Owner, reference: &str, most: usize) -> Result<Bytes, Refusal> {
        let machine = self.networked(owner, reference).await?;
        let log = self.promises.networks.log(&machine.id, most).await;
        log.map_err(|error| Refusal::from(error).about(machine.called()))
    }

    async fn networked(&self, owner: &Owner, reference: &str) -> Result<Machine, Refusal> {
        let machine = self.find(owner, reference).await?;
        match machine.spec.network.mode {
            NetworkMode::User => Ok(machine),
            NetworkMode::None => Err(no_network().about(machine.called())),
        }
    }
}
