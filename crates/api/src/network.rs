//! A machine's network: what is asked for, in the contract's words or in ours, and what is answered.

use std::net::{Ipv4Addr, SocketAddr};

use machine_core::network::{Forward, GUEST, NetworkMode, NetworkSpec};
use machine_core::policy::egress::{EgressPolicy, Entry, Peer, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::word::{NetworkModeWord, TransportWord, VerdictWord};

/// The `network` of a create. What is left out is the default: a network that reaches the whole internet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkWish {
    /// The contract's; only `true` is honoured yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_public_traffic: Option<bool>,
    /// The contract's; not honoured yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_request_host: Option<String>,
    /// What it may reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressWish>,
    /// The contract's old form of `egress.allow_cidrs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_out: Option<Vec<String>>,
    /// The contract's old form of `egress.deny_cidrs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny_out: Option<Vec<String>>,
    /// Whether it has a network; ours, as all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<NetworkModeWord>,
    /// Ports of the host that lead to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwards: Option<Vec<ForwardWish>>,
    /// Whether the certificate authorities that the host trusts are trusted in the guest, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ca: Option<bool>,
    /// Whether the host's proxy settings are passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<bool>,
    /// Whether ports of the host, on 127.0.0.1, lead to wherever the guest is found listening, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub find_ports: Option<bool>,
}

/// What a machine shall reach: the contract's `mode` and lists of CIDRs, or ours, which change only what they
/// name. One or the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EgressWish {
    /// The contract's form, which replaces everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<EgressMode>,
    /// With mode `custom`: if there are any, nothing else is allowed. IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_cidrs: Option<Vec<String>>,
    /// With mode `custom`: what is refused. IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny_cidrs: Option<Vec<String>>,
    /// Not honoured yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Value>,
    /// For what no entry fits; ours, as all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<VerdictWord>,
    /// In place of all that is allowed: addresses, CIDRs, names, `*.domain`, with a port and protocol if wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// In place of all that is refused; wins over `allow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
    /// Entries that go, from both lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Vec<String>>,
    /// Entries that are allowed, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_allow: Option<Vec<String>>,
    /// Entries that are refused, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_deny: Option<Vec<String>>,
}

/// The contract's three words for rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressMode {
    /// No rules but those that every machine has.
    AllowAll,
    /// Nothing may be reached.
    DenyAll,
    /// Lists decide.
    Custom,
}

/// A change of what a machine may reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetEgress {
    /// To this.
    pub egress: EgressWish,
}

/// A port of the host that shall lead to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "neither a text as \"8080:80\" nor an object {listen?, guest, transport?}")]
pub enum ForwardWish {
    /// `PORT`, `HOST:GUEST` or `ADDRESS:HOST:GUEST`, each with an optional `/tcp` or `/udp`.
    Text(String),
    /// In parts.
    Parts(ForwardParts),
}

/// A port of the host that shall lead to a machine, in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardParts {
    /// Where the host listens: `ADDRESS:PORT`, or `PORT` of 127.0.0.1; port 0: one that is free. Left out: the
    /// guest's port, of 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// The guest's port.
    pub guest: u16,
    /// By what; TCP if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportWord>,
}

/// Ports of the host to add to a machine: all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddPorts {
    /// They.
    pub forwards: Vec<ForwardWish>,
}

/// A machine's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// Whether it has one.
    pub mode: NetworkModeWord,
    /// What it may reach. Left out without a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressInfo>,
    /// Ports of the host that lead to it.
    pub forwards: Vec<PortInfo>,
    /// Ports of the host that lead to where its guest is found listening at the moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<PortInfo>,
    /// Whether the certificate authorities that the host trusts are trusted in the guest, too.
    pub host_ca: bool,
    /// Whether the host's proxy settings are passed on.
    pub proxy: bool,
    /// Whether ports of the host lead to wherever the guest is found listening, too.
    #[serde(default)]
    pub find_ports: bool,
    /// The guest's address, the same in every machine. Left out without a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
}

/// What a machine may reach, in the contract's words as far as they go, and in ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressInfo {
    /// The contract's word.
    pub mode: EgressMode,
    /// The entries of `allow` that the contract can say: IPv4 without a port.
    pub allow_cidrs: Vec<String>,
    /// The entries of `deny` that the contract can say.
    pub deny_cidrs: Vec<String>,
    /// For what no entry fits.
    pub policy: VerdictWord,
    /// What is allowed.
    pub allow: Vec<String>,
    /// What is refused; wins over `allow`.
    pub deny: Vec<String>,
}

/// What one machine may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineEgress {
    /// Its id.
    pub machine_id: String,
    /// That.
    pub egress: EgressInfo,
}

/// A port of the host that leads to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortInfo {
    /// Where the host listens; port 0: it will choose one when the machine starts.
    pub listen: SocketAddr,
    /// The guest's port.
    pub guest: u16,
    /// By what.
    pub transport: TransportWord,
}

/// The ports of the host that lead to one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachinePorts {
    /// Its id.
    pub machine_id: String,
    /// All of them.
    pub ports: Vec<PortInfo>,
    /// Those that this call asked for, with the ports that the host chose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<PortInfo>,
}

impl NetworkInfo {
    /// The wire's view of a network.
    #[must_use]
    pub fn of(network: &NetworkSpec) -> Self {
        let (egress, address) = match network.mode {
            NetworkMode::User => (Some(EgressInfo::of(&network.egress)), Some(GUEST)),
            NetworkMode::None => (None, None),
        };
        Self {
            mode: network.mode.into(),
            egress,
            forwards: network.forwards.iter().copied().map(PortInfo::from).collect(),
            found: Vec::new(),
            host_ca: network.host_ca,
            proxy: network.proxy,
            find_ports: network.finds_ports,
            address,
        }
    }
}

/// What a server of before this says by saying nothing.
impl Default for NetworkInfo {
    fn default() -> Self {
        Self::of(&NetworkSpec::default())
    }
}

impl EgressInfo {
    /// The wire's view of rules.
    #[must_use]
    pub fn of(policy: &EgressPolicy) -> Self {
        let mode = match policy {
            EgressPolicy { otherwise: Verdict::Allow, allow, deny } if allow.is_empty() && deny.is_empty() => {
                EgressMode::AllowAll
            }
            EgressPolicy { otherwise: Verdict::Deny, allow, .. } if allow.is_empty() => EgressMode::DenyAll,
            EgressPolicy { otherwise: Verdict::Allow | Verdict::Deny, .. } => EgressMode::Custom,
        };
        let texts = |entries: &[Entry]| entries.iter().map(ToString::to_string).collect();
        Self {
            mode,
            allow_cidrs: cidrs(&policy.allow),
            deny_cidrs: cidrs(&policy.deny),
            policy: policy.otherwise.into(),
            allow: texts(&policy.allow),
            deny: texts(&policy.deny),
        }
    }
}

fn cidrs(entries: &[Entry]) -> Vec<String> {
    let cidr = |entry: &Entry| match &entry.peer {
        Peer::Net(net) if net.addr().is_ipv4() && entry.port.is_none() && entry.protocol.is_none() => {
            Some(format!("{}/{}", net.addr(), net.prefix_len()))
        }
        Peer::Net(_) | Peer::Name(_) | Peer::Below(_) => None,
    };
    entries.iter().filter_map(cidr).collect()
}

impl From<Forward> for PortInfo {
    fn from(forward: Forward) -> Self {
        let Forward { listen, guest, transport } = forward;
        Self { listen, guest, transport: transport.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(otherwise: Verdict, allow: &[&str], deny: &[&str]) -> EgressPolicy {
        let entries = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        EgressPolicy { otherwise, allow: entries(allow), deny: entries(deny) }
    }

    fn check(policy: &EgressPolicy, mode: EgressMode, allow_cidrs: &[&str], deny_cidrs: &[&str]) {
        let info = EgressInfo::of(policy);
        assert_eq!(
            (info.mode, info.allow_cidrs, info.deny_cidrs.as_slice()),
            (mode, strings(allow_cidrs), &*strings(deny_cidrs))
        );
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_told_in_the_contracts_words_as_far_as_they_go() {
        check(&EgressPolicy::default(), EgressMode::AllowAll, &[], &[]);
        check(&policy(Verdict::Deny, &[], &["1.2.3.4"]), EgressMode::DenyAll, &[], &["1.2.3.4/32"]);
        let mixed = ["1.2.3.0/24", "4.4.4.4", "5.5.5.5:80", "6.6.6.6/udp", "2001:db8::/32", "a.example"];
        check(&policy(Verdict::Deny, &mixed, &[]), EgressMode::Custom, &["1.2.3.0/24", "4.4.4.4/32"], &[]);
        check(&policy(Verdict::Allow, &[], &["a.example"]), EgressMode::Custom, &[], &[]);
    }

    #[test]
    fn a_machine_without_a_network_has_no_rules_and_no_address() {
        let none = NetworkInfo::of(&NetworkSpec { mode: NetworkMode::None, ..NetworkSpec::default() });
        let expected = json!({"mode": "none", "forwards": [], "host_ca": false, "proxy": false, "find_ports": false});
        assert_eq!(serde_json::to_value(&none).unwrap(), expected);
    }

    #[test]
    fn a_forward_is_asked_for_in_two_ways_and_told_in_one() {
        let read = |value: Value| serde_json::from_value::<ForwardWish>(value);
        assert_eq!(read(json!("80")).unwrap(), ForwardWish::Text("80".to_owned()));
        let parts = ForwardParts { listen: None, guest: 53, transport: Some(TransportWord::Udp) };
        assert_eq!(read(json!({"guest": 53, "transport": "udp"})).unwrap(), ForwardWish::Parts(parts));
        for wrong in [json!(80), json!({"guest": 70000}), json!({}), json!({"guest": 1, "host": 2})] {
            assert!(read(wrong.clone()).unwrap_err().to_string().contains("8080:80"), "{wrong}");
        }
        let told = PortInfo::from("[::1]:80:8080/udp".parse::<Forward>().unwrap());
        assert_eq!(
            serde_json::to_value(told).unwrap(),
            json!({"listen": "[::1]:80", "guest": 8080, "transport": "udp"})
        );
    }
}
