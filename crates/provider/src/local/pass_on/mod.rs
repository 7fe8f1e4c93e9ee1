//! What of this host is passed on to machines that shall have it: its certificate authorities and its proxies.

mod authorities;
mod proxies;

use std::collections::BTreeMap;

use machine_core::network::{NetworkMode, NetworkSpec};
use machine_core::promise::provider::{MachinePlan, ProviderError};

pub(super) use authorities::collect;
pub use proxies::Proxies;

use super::{LocalProvider, blocking};

impl LocalProvider {
    /// The certificate authorities that this host's administrator added, if the machine shall trust them.
    pub(super) async fn authorities_for(&self, plan: &MachinePlan) -> Result<Vec<String>, ProviderError> {
        match plan.spec.network.host_ca {
            true => self.authorities().await,
            false => Ok(Vec::new()),
        }
    }

    /// The certificate authorities that this host's administrator added.
    pub(super) async fn authorities(&self) -> Result<Vec<String>, ProviderError> {
        let folders = self.settings.authorities.clone();
        blocking(move || collect(&folders)).await?
    }

    /// The environment of a machine's commands: its own, and the host's proxies if it shall have them.
    pub(super) fn environment_of(&self, plan: &MachinePlan) -> BTreeMap<String, String> {
        let mut environment = plan.identity.envs.clone();
        if passes_proxies(&plan.spec.network) {
            self.settings.proxies.add_to(&mut environment);
        }
        environment
    }

    /// What a gateway follows: what was asked for, and the way to a proxy on this host's own loopback.
    pub(super) fn effective(&self, network: &NetworkSpec) -> NetworkSpec {
        let mut effective = network.clone();
        if passes_proxies(network) {
            let ways = self.settings.proxies.exceptions();
            let new: Vec<_> = ways.into_iter().filter(|way| !effective.egress.allow.contains(way)).collect();
            effective.egress.allow.extend(new);
        }
        effective
    }
}

fn passes_proxies(network: &NetworkSpec) -> bool {
    network.proxy && network.mode == NetworkMode::User
}
