//! The words between server and gateway.

use std::collections::BTreeMap;

use machine_core::network::{Forward, NetworkSpec, Transport};
use machine_core::promise::network::{Explanation, Question};
use serde::{Deserialize, Serialize};

/// What a server asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// How things are.
    Status,
    /// Follow this from now on.
    Set {
        /// What the machine's network shall be.
        network: NetworkSpec,
        /// Which forwards the descriptors beside this message listen for, in their order.
        listening: Vec<Forward>,
    },
    /// What would happen, and why.
    Explain(Question),
    /// Hand over what only an agent can carry.
    Relay,
}

/// What the gateway answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// To `Status`.
    Status(Status),
    /// To `Set` and `Relay`.
    Done,
    /// To `Explain`.
    Explained(Explanation),
    /// To anything that was not done.
    Failed {
        /// Why.
        why: String,
    },
}

/// A connection for the guest's own loopback; its descriptor is beside the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Relayed {
    /// The guest's port.
    pub(crate) port: u16,
    /// A stream's accepted socket, or one end of a pair that keeps datagrams whole.
    pub(crate) transport: Transport,
}

/// How a gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether the VMM is at the other end of the link.
    pub attached: bool,
    /// What is followed; absent if the gateway is closed.
    pub network: Option<NetworkSpec>,
    /// Forwards of it that nobody listens for, since the gateway, started anew, could not.
    pub deaf: Vec<Forward>,
    /// How much there is.
    pub counts: Counts,
}

/// How much there is of something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Connections, with those that are not answered yet.
    pub tcp: u64,
    /// Those that are not answered yet.
    pub tcp_half_open: u64,
    /// Connections since the start.
    pub tcp_ever: u64,
    /// Pairs of addresses that exchange datagrams.
    pub udp: u64,
    /// What the guest sent and nobody could use, by reason.
    pub dropped: BTreeMap<String, u64>,
}
