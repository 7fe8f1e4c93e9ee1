//! Who may go where, asked for every connection: the machine's rules, and the names that our resolver's answers
//! gave to addresses (pins). Knows no packets and no sockets.
//!
//! ```text
//! Set ──close──▶ Closed (everything is refused)        Set ──follow──▶ Set (pins of names no longer allowed go)
//!  ▲───follow──────┘
//! ```

mod pins;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use machine_core::network::HOST_NAME;
use machine_core::policy::egress::{Condition, Decision, Destination, DomainName, EgressPolicy, Protocol, Verdict};

use pins::Pins;

/// How long an answer's addresses may be reached by its name: as long as it says, but within these.
const SHORTEST_PIN: Duration = Duration::from_mins(1);
/// No answer is told to the guest as valid for longer than this, either.
pub(crate) const LONGEST_PIN: Duration = Duration::from_hours(1);

/// The rules, and what is known of addresses.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    rules: Rules,
    pins: Pins,
    host: DomainName,
}

#[derive(Debug)]
enum Rules {
    Set(EgressPolicy),
    Closed { why: String },
}

/// Where a guest wants to go, without the names that the gatekeeper knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The address that would be dialled.
    pub(crate) address: IpAddr,
    /// Its port; 0 where there is none.
    pub(crate) port: u16,
    /// By what.
    pub(crate) protocol: Protocol,
    /// Whether the address is one of this host's own.
    pub(crate) is_host: bool,
}

impl Wanted {
    /// The host's own loopback, which the guest reaches at the gateway's address.
    pub(crate) const fn host(port: u16, protocol: Protocol) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port, protocol, is_host: true }
    }

    fn named<'a>(&self, names: &'a [DomainName]) -> Destination<'a> {
        Destination { address: self.address, port: self.port, protocol: self.protocol, names, is_host: self.is_host }
    }
}

impl Gatekeeper {
    /// With rules to follow.
    #[cfg(test)]
    pub(crate) fn new(policy: EgressPolicy) -> Self {
        Self { rules: Rules::Set(policy), pins: Pins::default(), host: host_name() }
    }

    /// Without: everything is refused, with this as the reason.
    pub(crate) fn closed(why: &str) -> Self {
        Self { rules: Rules::Closed { why: why.to_owned() }, pins: Pins::default(), host: host_name() }
    }

    /// Follows other rules from now on. What is open already is for the caller to judge again.
    pub(crate) fn follow(&mut self, policy: EgressPolicy) {
        self.pins.retain(|name| policy.may_resolve(name).verdict == Verdict::Allow);
        self.rules = Rules::Set(policy);
    }

    /// Refuses everything until there are rules again.
    pub(crate) fn close(&mut self, why: &str) {
        self.rules = Rules::Closed { why: why.to_owned() };
    }

    /// Whether there are no rules to follow.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.rules, Rules::Closed { .. })
    }

    /// Whether a destination may be dialled.
    pub(crate) fn judge(&self, now: Instant, wanted: &Wanted) -> Decision {
        self.judge_as(now, wanted, None)
    }

    /// The same as if the address were pinned to a name as well.
    pub(crate) fn judge_as(&self, now: Instant, wanted: &Wanted, name: Option<&DomainName>) -> Decision {
        let mut names = self.names_of(now, wanted.address);
        if wanted.is_host && wanted.address == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            names.push(self.host.clone());
        }
        names.extend(name.cloned());
        self.decide(|policy| policy.decide(&wanted.named(&names)))
    }

    /// Whether a connection that was allowed on condition may go on, now that it said its name, or none.
    pub(crate) fn judge_name(&self, wanted: &Wanted, said: Option<&DomainName>) -> Decision {
        self.decide(|policy| policy.decide_name(&wanted.named(&[]), said))
    }

    /// Whether the resolver may answer for a name.
    pub(crate) fn may_resolve(&self, name: &DomainName) -> Decision {
        self.decide(|policy| policy.may_resolve(name))
    }

    /// Whether a name that an allowed one is another name for is refused by an entry made for it.
    pub(crate) fn refuses_name(&self, name: &DomainName) -> Option<Decision> {
        match &self.rules {
            Rules::Set(policy) => policy.refuses_name(name),
            Rules::Closed { why } => Some(closed(why)),
        }
    }

    /// Whether the resolver may answer with an address.
    pub(crate) fn may_answer(&self, address: IpAddr) -> Decision {
        self.decide(|policy| policy.may_answer(address))
    }

    /// Whether names decide anything, so that what hides them is refused.
    pub(crate) fn goes_by_names(&self) -> bool {
        match &self.rules {
            Rules::Set(policy) => policy.goes_by_names(),
            Rules::Closed { .. } => true,
        }
    }

    /// Remembers the addresses of a name that was answered, for as long as the answer says.
    pub(crate) fn pin(&mut self, now: Instant, name: &DomainName, addresses: &[IpAddr], lifetime: Duration) {
        let until = now + lifetime.clamp(SHORTEST_PIN, LONGEST_PIN);
        self.pins.add(now, name, addresses, until);
    }

    /// The names by which an address may be reached now.
    pub(crate) fn names_of(&self, now: Instant, address: IpAddr) -> Vec<DomainName> {
        self.pins.names_of(now, address.to_canonical())
    }

    fn decide(&self, by: impl FnOnce(&EgressPolicy) -> Decision) -> Decision {
        match &self.rules {
            Rules::Set(policy) => by(policy),
            Rules::Closed { why } => closed(why),
        }
    }
}

fn closed(why: &str) -> Decision {
    Decision { verdict: Verdict::Deny, rule: format!("closed: {why}"), condition: Condition::None }
}

fn host_name() -> DomainName {
    HOST_NAME.parse().expect("the host's name is one")
}
