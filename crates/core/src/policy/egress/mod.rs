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
    /// Whether names decide anything; then names must be seen, so whatever hides them is refused. A name that is
    /// allowed where everything is decides nothing.
    #[must_use]
    pub fn goes_by_names(&self) -> bool {
        let allows = match self.otherwise {
            Verdict::Allow => false,
            Verdict::Deny => self.allow.iter().any(Entry::is_about_names),
        };
        allows || self.denies_names()
    }

    fn denies_names(&self) -> bool {
        self.deny.iter().any(Entry::is_about_names)
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
        if let Some(entry) = self.allowed_address(&wanted) {
            return self.by_address(entry, &wanted);
        }
        if let Some(hiding) = self.hiding(&wanted) {
            return hiding;
        }
        let rule = match (self.allow.iter().find(|entry| entry.fits(&wanted)), self.otherwise) {
            (Some(entry), Verdict::Allow | Verdict::Deny) => format!("allow {entry}"),
            (None, Verdict::Allow) => "default allow".to_owned(),
            (None, Verdict::Deny) => return Decision::denied("default deny".to_owned()),
        };
        let condition = if self.goes_by_names() { seen_by(&wanted) } else { Condition::None };
        Decision { condition, ..Decision::allowed(rule) }
    }

    fn allowed_address(&self, wanted: &Destination<'_>) -> Option<&Entry> {
        self.allow.iter().find(|entry| entry.is_about_addresses() && entry.fits(wanted))
    }

    /// Allowed by address and port: nothing else is asked. By address alone: a name that is denied still is.
    fn by_address(&self, entry: &Entry, wanted: &Destination<'_>) -> Decision {
        let allowed = Decision::allowed(format!("allow {entry}"));
        if entry.port == Some(wanted.port) {
            return allowed;
        }
        let condition = if self.denies_names() { seen_by(wanted) } else { Condition::None };
        self.hiding(wanted).unwrap_or(Decision { condition, ..allowed })
    }

    /// Whether our resolver may answer for a name.
    #[must_use]
    pub fn may_resolve(&self, name: &DomainName) -> Decision {
        if let Some(refused) = self.refuses_name(name) {
            return refused;
        }
        match (self.allow.iter().find(|entry| entry.is_about(name)), self.otherwise) {
            (Some(entry), Verdict::Allow | Verdict::Deny) => Decision::allowed(format!("allow {entry}")),
            (None, Verdict::Allow) => Decision::allowed("default allow".to_owned()),
            (None, Verdict::Deny) => Decision::denied("default deny".to_owned()),
        }
    }

    /// Whether an entry of `deny` is about this name whatever is wanted of it; the default is not looked at. So
    /// it is asked of the names that an allowed name is another name for.
    #[must_use]
    pub fn refuses_name(&self, name: &DomainName) -> Option<Decision> {
        let all_of_it = |entry: &&Entry| entry.port.is_none() && entry.protocol.is_none() && entry.is_about(name);
        self.deny.iter().find(all_of_it).map(|entry| Decision::denied(format!("deny {entry}")))
    }

    /// Whether our resolver may answer with an address: with a reserved one only if an exception was made for it.
    #[must_use]
    pub fn may_answer(&self, address: IpAddr) -> Decision {
        let address = address.to_canonical();
        let Some(range) = reserved(address) else {
            return Decision::allowed("not reserved".to_owned());
        };
        match self.allow.iter().find(|entry| entry.excepts_address(address)) {
            Some(entry) => Decision::allowed(format!("allow {entry}")),
            None => Decision::denied(format!("reserved {range}")),
        }
    }

    /// Whether a connection that `decide` allowed on condition may go on, now that it said its name, or none.
    #[must_use]
    pub fn decide_name(&self, wanted: &Destination<'_>, said: Option<&DomainName>) -> Decision {
        let wanted = Destination {
            address: wanted.address.to_canonical(),
            names: said.map_or(&[], std::slice::from_ref),
            ..*wanted
        };
        let shown = said.map(|name| format!(" ({name})")).unwrap_or_default();
        if let Some(entry) = self.deny.iter().find(|entry| entry.is_about_names() && entry.fits(&wanted)) {
            return Decision::denied(format!("deny {entry}{shown}"));
        }
        match (self.allow.iter().find(|entry| entry.fits(&wanted)), self.otherwise) {
            (Some(entry), Verdict::Allow | Verdict::Deny) => Decision::allowed(format!("allow {entry}{shown}")),
            (None, Verdict::Allow) => Decision::allowed("default allow".to_owned()),
            (None, Verdict::Deny) if said.is_none() => {
                Decision::denied("default deny: the connection names no host".to_owned())
            }
            (None, Verdict::Deny) => Decision::denied(format!("default deny{shown}")),
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
