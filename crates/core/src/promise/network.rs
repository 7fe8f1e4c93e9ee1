//! The networks of running machines: each ends in a gateway, which follows the rules it was last told.
//!
//! ```text
//! set ──▶ the ledger has the new NetworkSpec ──▶ apply ──▶ the gateway follows it
//!                                                  └─ cannot: the gateway is closed until it does
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::id::MachineId;
use crate::network::{Forward, NetworkSpec};
use crate::policy::egress::{Decision, DomainName, Protocol};
use crate::promise::guest::Guest;
use crate::promise::provider::ProviderError;
use crate::refusal::Refusal;

/// Sets and shows the networks of running machines.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Makes a running machine's network what `network` says, and answers its forwards as they are now: each
    /// with the port that the host chose. All of it or nothing; when it cannot be told what holds, the network
    /// is closed. Of a machine that does not run: only whether the forwards' ports are free.
    async fn apply(&self, machine: &MachineId, network: &NetworkSpec) -> Result<Vec<Forward>, NetworkError>;

    /// What would happen to a connection, and why: the gateway resolves names as it does for the guest, and
    /// dials nothing. Of a machine that does not run: by the rules alone, names unresolved.
    async fn explain(
        &self,
        machine: &MachineId,
        network: &NetworkSpec,
        question: &Question,
    ) -> Result<Explanation, NetworkError>;

    /// The end of the log of refusals, one JSON object a line, at most `most` bytes.
    async fn log(&self, machine: &MachineId, most: usize) -> Result<Bytes, NetworkError>;

    /// Carries connections for the guest's own loopback, which the gateway cannot reach, by way of its agent,
    /// until the machine ends or the gateway closes. Called once for each guest that was reached.
    async fn relay(&self, machine: &MachineId, guest: Arc<dyn Guest>) -> Result<(), NetworkError>;
}

/// Where a machine might want to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// By name or address.
    pub host: Host,
    /// The port; 443 if nobody says.
    pub port: u16,
    /// By what.
    pub protocol: Protocol,
}

/// A host by name or address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// By its name.
    Name(DomainName),
    /// By its address.
    Address(IpAddr),
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether the name would be resolved; absent for an address.
    pub resolve: Option<Decision>,
    /// What is decided for each address; empty if the name has none, is not resolved, or nobody was asked.
    pub addresses: Vec<(IpAddr, Decision)>,
    /// What is worth saying beside it: that the resolver did not answer, or that the machine does not run.
    pub note: Option<String>,
}

/// Why a network is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Somebody listens there already.
    #[error("the port is taken: {}/{}{}", forward.listen, forward.transport, held(.by))]
    PortBusy {
        /// Which forward.
        forward: Forward,
        /// Who holds it, as `name (pid 12)`, where that can be seen.
        by: Option<String>,
    },
    /// The host does not let us listen there.
    #[error("cannot listen on {}: {detail}", forward.listen)]
    CannotListen {
        /// Which forward.
        forward: Forward,
        /// What the host said.
        detail: String,
    },
    /// The machine has no network.
    #[error("the machine has no network (network mode none)")]
    NoNetwork,
    /// The gateway did not do as it was told; it is closed, or gone and started anew with the new rules.
    #[error("the network gateway does not answer: {detail}")]
    Gateway {
        /// What it said.
        detail: String,
    },
    /// The place refused something.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

fn held(by: &Option<String>) -> String {
    by.as_deref().map(|by| format!(" (held by {by})")).unwrap_or_default()
}

impl From<NetworkError> for Refusal {
    fn from(error: NetworkError) -> Self {
        let message = error.to_string();
        match error {
            NetworkError::PortBusy { .. } => Self::new(Code::PortConflict, message)
                .hint("choose another port of the host, or 0 to have one chosen")
                .reason("port_busy"),
            NetworkError::CannotListen { .. } => Self::new(Code::PortConflict, message)
                .hint("choose an address of this host, and a port above 1023")
                .reason("cannot_listen"),
            NetworkError::NoNetwork => Self::new(Code::InvalidRequest, message)
                .hint("a machine's network mode is chosen when it is created: `--network user`")
                .reason("no_network"),
            NetworkError::Gateway { .. } => Self::new(Code::NetworkError, message)
                .hint("nothing gets out meanwhile; `machine logs --network NAME` shows what the gateway said"),
            NetworkError::Provider(error) => error.into(),
        }
    }
}
