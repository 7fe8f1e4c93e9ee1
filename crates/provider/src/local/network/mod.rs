//! The networks of this host's machines: each ends in a gateway, a companion of the machine's VMM.
//!
//! ```text
//! start   ports free ──▶ gateway.json ──▶ VMM, and its gateway ──▶ it follows ──▶ the guest is woken
//! apply   new ports bound ──▶ gateway.json ──▶ it is told ──▶ it follows
//!              └─ taken: nothing changed          └─ it does not: it is replaced; the next reads gateway.json
//! ```

mod gateway;
mod ports;
mod relay;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use machine_core::MachineId;
use machine_core::network::{Forward, NetworkMode, NetworkSpec};
use machine_core::policy::egress::Destination;
use machine_core::promise::guest::Guest;
use machine_core::promise::network::{Explanation, Host, NetworkError, Networks, Question};
use machine_core::promise::provider::{MachinePlan, Provider as _, ProviderError};
use machine_hypervisor::launch_plan::Companion;
use machine_hypervisor::process::{Found, Vmm};
use machine_network::control::{Client, ControlError};
use tokio::task::JoinSet;

use self::gateway::{Gateway, NAME, WITHIN};
use super::{LocalProvider, blocking, host, of_io};

/// Relayed connections of one machine at a time; more are reset.
const MOST_RELAYED: usize = 1024;

impl LocalProvider {
    fn gateway(&self, machine: &MachineId) -> Gateway {
        Gateway { machine: machine.clone(), run: self.run(machine), resolver: self.settings.resolver.clone() }
    }

    /// Whether a start would find the machine's ports free: asked before anything else is done for it.
    pub(super) async fn check_ports(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        let network = plan.spec.network.clone();
        blocking(move || ports::free(&network)).await?.map(drop).map_err(for_a_start)
    }

    /// Writes down what a launch's gateway will follow, and says which companion that is; none without a network.
    pub(super) fn companions(&self, plan: &MachinePlan) -> Result<Vec<Companion>, ProviderError> {
        match plan.spec.network.mode {
            NetworkMode::None => Ok(Vec::new()),
            NetworkMode::User => {
                host::make_private_folder(self.run(&plan.id).path())?;
                let gateway = self.gateway(&plan.id);
                let ready = gateway.make_ready(plan.generation, &self.effective(&plan.spec.network));
                ready.map_err(|error| of_io("write the gateway's plan", &error))?;
                Ok(vec![gateway.companion()])
            }
        }
    }

    /// Waits until the gateway of a machine that starts follows its rules.
    pub(super) async fn network_is_ready(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        match plan.spec.network.mode {
            NetworkMode::None => Ok(()),
            NetworkMode::User => {
                let followed =
                    self.gateway(&plan.id).follow(plan.generation, &self.effective(&plan.spec.network)).await;
                followed.map(drop).map_err(for_a_start)
            }
        }
    }

    async fn reach_gateway(&self, machine: &MachineId) -> Result<Client, NetworkError> {
        let gateway = self.gateway(machine);
        Client::connect(&gateway.control(), WITHIN).await.map_err(|error| gateway.refused(&error))
    }
}

#[async_trait]
impl Networks for LocalProvider {
    async fn apply(&self, machine: &MachineId, network: &NetworkSpec) -> Result<Vec<Forward>, NetworkError> {
        match network.mode {
            NetworkMode::None if network.forwards.is_empty() => return Ok(Vec::new()),
            NetworkMode::None => return Err(NetworkError::NoNetwork),
            NetworkMode::User => {}
        }
        match self.find(machine).await? {
            Found::Alive(vmm) => self.gateway(machine).follow(vmm.record().generation, &self.effective(network)).await,
            Found::Ended(_) | Found::Never => {
                let network = network.clone();
                blocking(move || ports::free(&network)).await?
            }
        }
    }

    async fn explain(
        &self,
        machine: &MachineId,
        network: &NetworkSpec,
        question: &Question,
    ) -> Result<Explanation, NetworkError> {
        if network.mode == NetworkMode::None {
            return Err(NetworkError::NoNetwork);
        }
        match self.find(machine).await? {
            Found::Alive(_) => {
                let explained = self.reach_gateway(machine).await?.explain(question).await;
                explained.map_err(|error| self.gateway(machine).refused(&error))
            }
            Found::Ended(_) | Found::Never => Ok(by_the_rules(&self.effective(network), question)),
        }
    }

    async fn log(&self, machine: &MachineId, most: usize) -> Result<Bytes, NetworkError> {
        let log = Vmm::companion_log_tail(&self.run(machine), NAME, most);
        Ok(Bytes::from(log.map_err(|error| of_io("read the network's log", &error))?))
    }

    async fn relay(&self, machine: &MachineId, guest: Arc<dyn Guest>) -> Result<(), NetworkError> {
        let refused = |error: ControlError| self.gateway(machine).refused(&error);
        let mut handed = self.reach_gateway(machine).await?.relay().await.map_err(refused)?;
        let (mut guest, mut carried) = (guest, JoinSet::new());
        loop {
            let next = tokio::select! {
                next = handed.next() => next.map_err(refused)?,
                Some(_ended) = carried.join_next() => continue,
            };
            let Some((port, transport, socket)) = next else { return Ok(()) };
            if guest.is_lost() {
                guest = self.reach_guest(machine).await?;
            }
            if carried.len() < MOST_RELAYED {
                let (guest, machine) = (guest.clone(), machine.clone());
                carried.spawn(async move {
                    if let Err(error) = relay::carry(guest, port, transport, socket).await {
                        tracing::debug!(%machine, port, %transport, %error, "a relayed connection broke");
                    }
                });
            } else {
                tracing::warn!(%machine, port, "too many relayed connections; one is dropped");
            }
        }
    }
}

/// What can be said without a gateway: names are not resolved, and nobody asked which addresses are the host's.
fn by_the_rules(network: &NetworkSpec, question: &Question) -> Explanation {
    let note = Some("the machine does not run: its rules alone were asked, and no name was resolved".to_owned());
    let policy = &network.egress;
    match &question.host {
        Host::Name(name) => Explanation { resolve: Some(policy.may_resolve(name)), addresses: Vec::new(), note },
        Host::Address(address) => {
            let (address, port, protocol) = (*address, question.port, question.protocol);
            let wanted = Destination { address, port, protocol, names: &[], is_host: false };
            Explanation { resolve: None, addresses: vec![(address, policy.decide(&wanted))], note }
        }
    }
}

/// Why a machine does not start.
fn for_a_start(error: NetworkError) -> ProviderError {
    match error {
        NetworkError::Provider(error) => error,
        NetworkError::PortBusy { .. }
        | NetworkError::CannotListen { .. }
        | NetworkError::NoNetwork
        | NetworkError::Gateway { .. } => ProviderError::Network(Box::new(error)),
    }
}
