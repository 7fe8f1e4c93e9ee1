//! What would happen to a connection: resolves as it would be for the guest, pins nothing, dials nothing.

use std::net::IpAddr;

use machine_core::network::GATEWAY;
use machine_core::policy::egress::Decision;
use machine_core::promise::network::{Explanation, Host, Question};

use std::time::Instant;

use crate::gatekeeper::{Gatekeeper, Wanted};

/// What the resolver found for a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whose question it is; the caller's number.
    pub(crate) id: u64,
    /// The question.
    pub(crate) question: Question,
    /// Whether the name is resolved.
    pub(super) resolve: Option<Decision>,
    /// Its addresses, those that the guest is not told among them.
    pub(super) addresses: Vec<IpAddr>,
    /// What is worth saying.
    pub(super) note: Option<String>,
    /// Answers that are waited for.
    pub(super) waits: usize,
}

impl Found {
    pub(super) fn new(id: u64, question: Question) -> Self {
        Self { id, question, resolve: None, addresses: Vec::new(), note: None, waits: 0 }
    }

    /// Judges what was found. `is_host` says whether an address is one of this host's own.
    pub(crate) fn explain(
        self,
        now: Instant,
        gatekeeper: &Gatekeeper,
        is_host: impl Fn(IpAddr) -> bool,
    ) -> Explanation {
        let Question { host, port, protocol } = self.question;
        let name = match &host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        };
        let judged = |address: IpAddr| {
            let wanted = if address == IpAddr::V4(GATEWAY) {
                Wanted::host(port, protocol)
            } else {
                Wanted { address, port, protocol, is_host: is_host(address) }
            };
            (address, gatekeeper.judge_as(now, &wanted, name))
        };
        let addresses = self.addresses.into_iter().map(judged).collect();
        Explanation { resolve: self.resolve, addresses, note: self.note }
    }
}
