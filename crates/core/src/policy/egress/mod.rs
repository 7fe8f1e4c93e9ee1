//! What a machine may reach. Pure: addresses and names in, a decision with the rule that made it out.
//!
//! ```text
//! destination ──▶ reserved, or the host itself? ──only a CIDR, an address or `host.machine.internal` allows it──┐
//!      │ no                                                                                                     │
//!      ├─▶ an entry of `deny` fits ──▶ refused                                                                  │
//!      ├─▶ an entry of `allow` fits ──▶ allowed; by its name alone: on the condition that TLS or HTTP says it ◀─┘
//!      └─▶ the default
//! ```
//! A name counts only while an answer of our own resolver for it is valid (it is pinned to its addresses).

mod entry;
mod reserved;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use entry::{BadEntry, DomainName, Entry, Peer};
pub use reserved::{Reserved, reserved};

/// The rules of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EgressPolicy {
    /// For what no entry fits.
    pub otherwise: Verdict,
    /// What is allowed; an address in a reserved range, or the host, is allowed by being named here.
    pub allow: Vec<Entry>,
    /// What is refused; wins over `allow`.
    pub deny: Vec<Entry>,
}

/// Allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may.
    #[default]
    Allow,
    /// It may not.
    Deny,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A TCP connection.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// An ICMP echo; it has no port.
    Icmp,
}

/// Where a guest wants to go.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The address that would be dialled; IPv4 in IPv6 is judged as what it stands for.
    pub address: IpAddr,
    /// Its port; 0 where there is none.
    pub port: u16,
    /// By what.
    pub protocol: Protocol,
    /// The names that our resolver's valid answers gave this address.
    pub names: &'a [DomainName],
    /// Whether the address is one of this host's own.
    pub is_host: bool,
}

/// What was decided, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Allowed or not.
    pub verdict: Verdict,
    /// The rule that decided, for people and logs: `deny *.example.com`, `reserved 10.0.0.0/8`, `default deny`.
    pub rule: String,
    /// What is still to be seen of the connection's first bytes.
    pub condition: Condition,
}

/// What an allowed connection must show before its first byte goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Nothing.
    None,
    /// A name, in TLS's server name indication or HTTP's Host, that `decide_name` allows.
    Name,
}

/// Ports where a name stands in the first bytes: of HTTP and of TLS.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// Where names are asked for: DNS, and DNS over TLS or QUIC.
const NAME_SERVICES: [u16; 2] = [53, 853];

impl EgressPolicy {
    /// Whether names decide anything; then names must be seen, so whatever hides them is refused.
    #[must_use]
    pub fn goes_by_names(&self) -> bool {
        self.allow.iter().chain(&self.deny).any(|entry| matches!(entry.peer, Peer::Name(_) | Peer::Below(_)))
    }

    /// Whether a destination may be dialled.
    #[must_use]
    pub fn decide(&self, wanted: &Destination<'_>) -> Decision {
        let wanted = Destination { address: wanted.address.to_canonical(), ..*wanted };
        if let Some(entry) = self.deny.iter().find(|entry| entry.fits(&wanted)) {
            return Decision::denied(format!("deny {entry}"));
        }
        if let Some(range) = reserved(wanted.address) {
            return self.excepted(&wanted, &format!("reserved {range}"));
        }
        if wanted.is_host {
            return self.excepted(&wanted, "reserved: the host itself");
        }
        if let Some(entry) = self.allow.iter().find(|entry| entry.is_about_addresses() && entry.fits(&wanted)) {
            let exact = entry.port == Some(wanted.port);
            return self
                .hiding(&wanted)
                .filter(|_| !exact)
                .unwrap_or_else(|| Decision::allowed(format!("allow {entry}")));
        }
        if let Some(hiding) = self.hiding(&wanted) {
            return hiding;
        }
        let named = self.allow.iter().find(|entry| entry.fits(&wanted));
        match (named, self.otherwise) {
            (Some(entry), Verdict::Allow | Verdict::Deny) => {
                Decision { condition: seen_by(&wanted), ..Decision::allowed(format!("allow {entry}")) }
            }
            (None, Verdict::Deny) => Decision::denied("default deny".to_owned()),
            (None, Verdict::Allow) if self.goes_by_names() => {
                Decision { condition: seen_by(&wanted), ..Decision::allowed("default allow".to_owned()) }
            }
            (None, Verdict::Allow) => Decision::allowed("default allow".to_owned()),
        }
    }

    /// Whether our resolver may answer for a name.
    #[must_use]
    pub fn may_resolve(&self, name: &DomainName) -> Decision {
        let fits = |entry: &&Entry| entry.is_about(name);
        if let Some(entry) = self.deny.iter().find(|entry| entry.port.is_none() && fits(entry)) {
            return Decision::denied(format!("deny {entry}"));
        }
        match (self.allow.iter().find(fits), self.otherwise) {
            (Some(entry), Verdict::Allow | Verdict::Deny) => Decision::allowed(format!("allow {entry}")),
            (None, Verdict::Allow) => Decision::allowed("default allow".to_owned()),
            (None, Verdict::Deny) => Decision::denied("default deny".to_owned()),
        }
    }

    /// Whether a connection that `decide` allowed on condition may go on, now that it said its name, or none.
    #[must_use]
    pub fn decide_name(&self, wanted: &Destination<'_>, said: Option<&DomainName>) -> Decision {
        let Some(name) = said else {
            return match self.otherwise {
                Verdict::Allow => Decision::allowed("default allow".to_owned()),
                Verdict::Deny => Decision::denied("default deny: the connection names no host".to_owned()),
            };
        };
        let named = Destination { names: std::slice::from_ref(name), ..*wanted };
        let fits = |entry: &&Entry| !entry.is_about_addresses() && entry.fits(&named);
        if let Some(entry) = self.deny.iter().find(fits) {
            return Decision::denied(format!("deny {entry} ({name})"));
        }
        match (self.allow.iter().find(fits), self.otherwise) {
            (Some(entry), Verdict::Allow | Verdict::Deny) => Decision::allowed(format!("allow {entry} ({name})")),
            (None, Verdict::Allow) => Decision::allowed("default allow".to_owned()),
            (None, Verdict::Deny) => Decision::denied(format!("default deny ({name})")),
        }
    }

    /// What only an entry made for it allows.
    fn excepted(&self, wanted: &Destination<'_>, why: &str) -> Decision {
        match self.allow.iter().find(|entry| entry.excepts(wanted)) {
            Some(entry) => Decision::allowed(format!("allow {entry}")),
            None => Decision::denied(why.to_owned()),
        }
    }

    /// Where names decide, what would hide them is refused: other resolvers, and QUIC.
    fn hiding(&self, wanted: &Destination<'_>) -> Option<Decision> {
        let hides = match wanted.protocol {
            Protocol::Tcp => NAME_SERVICES.contains(&wanted.port),
            Protocol::Udp => NAME_SERVICES.contains(&wanted.port) || wanted.port == HTTPS,
            Protocol::Icmp => false,
        };
        let what = if wanted.port == HTTPS { "QUIC hides the name" } else { "another resolver" };
        (hides && self.goes_by_names()).then(|| Decision::denied(format!("names decide: {what}")))
    }
}

/// What is to be seen of a connection that is allowed by a name.
fn seen_by(wanted: &Destination<'_>) -> Condition {
    match (wanted.protocol, wanted.port) {
        (Protocol::Tcp, HTTP | HTTPS) => Condition::Name,
        (Protocol::Tcp | Protocol::Udp | Protocol::Icmp, _) => Condition::None,
    }
}

impl Decision {
    fn allowed(rule: String) -> Self {
        Self { verdict: Verdict::Allow, rule, condition: Condition::None }
    }

    fn denied(rule: String) -> Self {
        Self { verdict: Verdict::Deny, rule, condition: Condition::None }
    }
}

#[cfg(test)]
mod tests;
