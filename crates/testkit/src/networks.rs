//! Networks whose gateways are a field of the place's machines. They can be broken, and ports can be held.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use machine_core::MachineId;
use machine_core::network::{Forward, NetworkSpec};
use machine_core::policy::egress::Destination;
use machine_core::promise::guest::Guest;
use machine_core::promise::network::{Explanation, Host, NetworkError, Networks, Question};

use crate::crash::Tripwire;
use crate::provider::{Fault, Site};

/// The port that the host chooses first, where it may choose.
pub const CHOSEN: u16 = 40_000;
/// The log of every machine.
pub const LOG: &str = "{\"rule\":\"default deny\"}\n";

/// The fake networks of one life of the server.
pub struct FakeNetworks {
    site: Arc<Site>,
    tripwire: Tripwire,
}

impl FakeNetworks {
    /// A life's view of the networks of a place.
    #[must_use]
    pub fn new(site: Arc<Site>, tripwire: Tripwire) -> Self {
        Self { site, tripwire }
    }

    fn apply_now(&self, machine: &MachineId, network: &NetworkSpec) -> Result<Vec<Forward>, NetworkError> {
        let mut forwards = network.forwards.clone();
        for place in 0..forwards.len() {
            let wanted = forwards[place];
            let (before, _) = forwards.split_at(place);
            if wanted.listen.port() == 0 {
                let port = self.free_port(machine, wanted, before);
                forwards[place].listen = SocketAddr::new(wanted.listen.ip(), port);
            } else if let Some(by) = self.site.holder(machine, wanted.transport, wanted.listen) {
                return Err(NetworkError::PortBusy { forward: wanted, by: Some(by) });
            }
        }
        if self.site.fails(Fault::Apply).is_err() {
            self.site.follow(machine, None);
            return Err(NetworkError::Gateway { detail: "broken by the test".to_owned() });
        }
        self.site.follow(machine, Some(NetworkSpec { forwards: forwards.clone(), ..network.clone() }));
        Ok(forwards)
    }

    fn free_port(&self, machine: &MachineId, wanted: Forward, taken: &[Forward]) -> u16 {
        let at = |port| SocketAddr::new(wanted.listen.ip(), port);
        let is_taken = |port| taken.iter().any(|other| other.listen == at(port) && other.transport == wanted.transport);
        let free = |port: &u16| self.site.holder(machine, wanted.transport, at(*port)).is_none() && !is_taken(*port);
        (CHOSEN..u16::MAX).find(free).expect("a test does not hold 25,000 ports")
    }
}

#[async_trait]
impl Networks for FakeNetworks {
    async fn apply(&self, machine: &MachineId, network: &NetworkSpec) -> Result<Vec<Forward>, NetworkError> {
        self.tripwire.through(|| self.apply_now(machine, network)).await
    }

    async fn explain(
        &self,
        machine: &MachineId,
        network: &NetworkSpec,
        question: &Question,
    ) -> Result<Explanation, NetworkError> {
        let note = (!self.site.runs(machine)).then(|| "the machine does not run".to_owned());
        match &question.host {
            Host::Name(name) => {
                let resolve = Some(network.egress.may_resolve(name));
                Ok(Explanation { resolve, addresses: Vec::new(), note })
            }
            Host::Address(address) => {
                let (port, protocol) = (question.port, question.protocol);
                let wanted = Destination { address: *address, port, protocol, names: &[], is_host: false };
                let decision = network.egress.decide(&wanted);
                Ok(Explanation { resolve: None, addresses: vec![(*address, decision)], note })
            }
        }
    }

    async fn log(&self, _machine: &MachineId, most: usize) -> Result<Bytes, NetworkError> {
        Ok(Bytes::from_static(LOG.as_bytes()).split_off(LOG.len().saturating_sub(most)))
    }

    async fn relay(&self, machine: &MachineId, _guest: Arc<dyn Guest>) -> Result<(), NetworkError> {
        let _counted = Counted::new(&self.site, machine);
        std::future::pending().await
    }
}

/// Counts a relay for as long as it is carried.
struct Counted<'a>(&'a Site, &'a MachineId);

impl<'a> Counted<'a> {
    fn new(site: &'a Site, machine: &'a MachineId) -> Self {
        site.count_relay(machine, 1);
        Self(site, machine)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.count_relay(self.1, -1);
    }
}
