//! What a machine's network may be, and how it is changed. Pure: who tells the gateway is `keeper/network.rs`.

use std::net::SocketAddr;

use machine_core::network::{Forward, NetworkMode, NetworkSpec, Transport};
use machine_core::policy::egress::{EgressPolicy, Entry, Verdict};
use machine_core::{Code, Refusal};

/// The most ports of one machine: their sockets are passed to its gateway in one message, which holds 253.
pub const MOST_FORWARDS: usize = 128;
/// The most entries of each list: together they fit into one message to the gateway, and into a person's head.
pub const MOST_ENTRIES: usize = 256;

/// A change of a machine's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChange {
    /// Of what it may reach.
    Egress(EgressChange),
    /// More ports of the host lead to it. Those that do already stay as they are.
    AddForwards(Vec<Forward>),
    /// These ports of the host lead to it no more. Those that do not are passed over.
    RemoveForwards(Vec<(Transport, SocketAddr)>),
}

/// A change of what a machine may reach: what is replaced first, then what is removed, then what is added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressChange {
    /// The new default.
    pub otherwise: Option<Verdict>,
    /// In place of all that is allowed.
    pub allow: Option<Vec<Entry>>,
    /// In place of all that is refused.
    pub deny: Option<Vec<Entry>>,
    /// Entries that go, from both lists.
    pub remove: Vec<Entry>,
    /// Entries that are allowed, too.
    pub add_allow: Vec<Entry>,
    /// Entries that are refused, too.
    pub add_deny: Vec<Entry>,
}

impl EgressChange {
    /// These rules and no others.
    #[must_use]
    pub fn to(policy: EgressPolicy) -> Self {
        let EgressPolicy { otherwise, allow, deny } = policy;
        Self { otherwise: Some(otherwise), allow: Some(allow), deny: Some(deny), ..Self::default() }
    }

    /// The rules after the change.
    #[must_use]
    pub fn applied_to(&self, policy: &EgressPolicy) -> EgressPolicy {
        let list = |replaced: &Option<Vec<Entry>>, before: &[Entry], added: &[Entry]| {
            let mut entries = replaced.clone().unwrap_or_else(|| before.to_vec());
            entries.retain(|entry| !self.remove.contains(entry));
            entries.extend_from_slice(added);
            unique(entries)
        };
        EgressPolicy {
            otherwise: self.otherwise.unwrap_or(policy.otherwise),
            allow: list(&self.allow, &policy.allow, &self.add_allow),
            deny: list(&self.deny, &policy.deny, &self.add_deny),
        }
    }
}

impl NetworkChange {
    /// What happened, for the history.
    pub(crate) const fn event(&self) -> &'static str {
        match self {
            Self::Egress(_) => "egress changed",
            Self::AddForwards(_) => "ports added",
            Self::RemoveForwards(_) => "ports removed",
        }
    }

    /// The network after the change.
    ///
    /// # Errors
    /// A refusal, if the machine has no network, or could not have that one.
    pub fn applied_to(&self, network: &NetworkSpec) -> Result<NetworkSpec, Refusal> {
        if network.mode == NetworkMode::None {
            return Err(no_network());
        }
        let mut next = network.clone();
        match self {
            Self::Egress(change) => next.egress = change.applied_to(&network.egress),
            Self::AddForwards(added) => {
                for forward in added {
                    add(&mut next.forwards, &network.forwards, *forward)?;
                }
            }
            Self::RemoveForwards(gone) => {
                next.forwards.retain(|forward| !gone.contains(&(forward.transport, forward.listen)));
            }
        }
        check(&next)?;
        Ok(next)
    }
}

fn add(forwards: &mut Vec<Forward>, before: &[Forward], added: Forward) -> Result<(), Refusal> {
    if added.listen.port() != 0 && before.contains(&added) {
        return Ok(());
    }
    if let Some(other) = before.iter().find(|other| overlap(other, &added)) {
        let message = format!("the port is taken: {}/{} (this machine has {other})", added.listen, added.transport);
        let hint = "choose another port of the host, 0 to have one chosen, or remove the other one first";
        return Err(Refusal::new(Code::PortConflict, message).hint(hint).reason("port_busy"));
    }
    forwards.push(added);
    Ok(())
}

/// Whether a machine can have this network. All that is wrong is told at once.
///
/// # Errors
/// `invalid_request`.
pub fn check(network: &NetworkSpec) -> Result<(), Refusal> {
    let mut wrong = match network.mode {
        NetworkMode::User => Vec::new(),
        NetworkMode::None => useless(network),
    };
    for (field, list) in [("allow", &network.egress.allow), ("deny", &network.egress.deny)] {
        if list.len() > MOST_ENTRIES {
            wrong.push(format!("egress.{field}: too many entries: {} (at most {MOST_ENTRIES})", list.len()));
        }
    }
    if network.forwards.len() > MOST_FORWARDS {
        wrong.push(format!("forwards: too many ports: {} (at most {MOST_FORWARDS})", network.forwards.len()));
    }
    for (place, forward) in network.forwards.iter().enumerate() {
        if let Some(other) = network.forwards[..place].iter().find(|other| overlap(other, forward)) {
            wrong.push(format!("forwards: the same port of the host twice: {other} and {forward}"));
        }
        if forward.guest == 0 {
            wrong.push(format!("forwards: no port of the guest: {forward}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::new(Code::InvalidRequest, wrong.join("; "))) }
}

/// What a machine without a network cannot have.
fn useless(network: &NetworkSpec) -> Vec<String> {
    let EgressPolicy { allow, deny, .. } = &network.egress;
    let asked = [
        ("egress", !allow.is_empty() || !deny.is_empty()),
        ("forwards", !network.forwards.is_empty()),
        ("proxy", network.proxy),
    ];
    let useless = asked.into_iter().filter(|(_, asked)| *asked);
    useless.map(|(field, _)| format!("{field}: of no use to a machine without a network (mode none)")).collect()
}

pub(crate) fn no_network() -> Refusal {
    machine_core::promise::network::NetworkError::NoNetwork.into()
}

/// Whether both would listen at the same port of the host.
fn overlap(one: &Forward, other: &Forward) -> bool {
    let (here, there) = (one.listen, other.listen);
    let same_family = here.is_ipv4() == there.is_ipv4();
    let same_address =
        here.ip() == there.ip() || (same_family && (here.ip().is_unspecified() || there.ip().is_unspecified()));
    one.transport == other.transport && here.port() == there.port() && here.port() != 0 && same_address
}

fn unique(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = Vec::with_capacity(entries.len());
    for entry in entries {
        if !seen.contains(&entry) {
            seen.push(entry);
        }
    }
    seen
}

/// Gives forwards whose port the host chooses the ports that it chose.
pub(crate) fn give_ports(forwards: &mut [Forward], chosen: &[Forward]) {
    for (forward, answer) in forwards.iter_mut().zip(chosen) {
        let same = forward.guest == answer.guest && forward.transport == answer.transport;
        if forward.listen.port() == 0 && same {
            forward.listen.set_port(answer.listen.port());
        }
    }
}

/// Whether a network is the one that was asked for, its chosen ports aside.
pub(crate) fn is_as_asked(network: &NetworkSpec, asked: &NetworkSpec) -> bool {
    let mut wish = asked.clone();
    give_ports(&mut wish.forwards, &network.forwards);
    wish == *network
}

#[cfg(test)]
mod tests;
