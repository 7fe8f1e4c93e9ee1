//! Why a machine may reach something, or may not; and the log of what it might not.

use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use machine_core::Machine;
use machine_core::policy::egress::{Decision, Entry, Peer, Protocol, Verdict};
use machine_core::promise::network::{Explanation, Host, Question};
use serde::{Deserialize, Serialize};

use crate::word::{ConditionWord, ProtocolWord, VerdictWord};

/// The port of a question that names none.
const PORT: u16 = 443;

/// Where a machine might want to go. Written `HOST[:PORT][/tcp|/udp|/icmp]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// A name or an address.
    pub host: String,
    /// The port; 443 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// By what; TCP if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolWord>,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainInfo {
    /// The machine's id.
    pub machine_id: String,
    /// A name or an address.
    pub host: String,
    /// The port; 0 where there is none.
    pub port: u16,
    /// By what.
    pub protocol: ProtocolWord,
    /// Allowed, if one of the addresses is: a program that connects tries them all.
    pub verdict: Conclusion,
    /// The rule that decided; empty if none did.
    pub rule: String,
    /// Whether the name would be resolved. Left out for an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<DecisionInfo>,
    /// What is decided for each address.
    pub addresses: Vec<AddressInfo>,
    /// What is worth saying beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a question comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// It may.
    Allow,
    /// It may not.
    Deny,
    /// The name would be resolved, but no address of it is known.
    Unknown,
}

/// What was decided, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionInfo {
    /// Allowed or not.
    pub verdict: VerdictWord,
    /// The rule that decided.
    pub rule: String,
    /// What is still to be seen of the connection's first bytes.
    pub condition: ConditionWord,
}

/// What is decided for one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressInfo {
    /// Which.
    pub address: IpAddr,
    /// That.
    #[serde(flatten)]
    pub decision: DecisionInfo,
}

/// One line of a machine's network log: refusals of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalLine {
    /// When it was written.
    pub at: Timestamp,
    /// The rule that decided.
    pub rule: String,
    /// `tcp`, `udp`, `icmp`, or `dns` for a question to the resolver.
    pub protocol: String,
    /// Where to, if an address was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The name that was asked for, or said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many since the last line of this kind.
    pub count: u64,
    /// Refusals of other kinds that were not told one by one.
    #[serde(default)]
    pub others: u64,
}

/// Another kind of line there: the process that carries the machine's packets ended, or cannot be started. It is
/// started again in either case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanionLine {
    /// When it was seen.
    pub at: Timestamp,
    /// Which of the VMM's companions: `network`.
    pub companion: String,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why it cannot be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_start: Option<String>,
}

impl ExplainQuery {
    /// The question that it asks.
    ///
    /// # Errors
    /// Which field makes no sense, and why.
    pub fn question(&self) -> Result<Question, String> {
        let protocol = self.protocol.map_or(Protocol::Tcp, Protocol::from);
        let port = match (protocol, self.port) {
            (Protocol::Icmp, None) => 0,
            (Protocol::Icmp, Some(_)) => return Err("port: ICMP has none".to_owned()),
            (Protocol::Tcp | Protocol::Udp, Some(0)) => return Err("port: not a port: 0".to_owned()),
            (Protocol::Tcp | Protocol::Udp, port) => port.unwrap_or(PORT),
        };
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host);
        let host = match bare.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(self.host.parse().map_err(|_| format!("host: no name or address: '{}'", self.host))?),
        };
        Ok(Question { host, port, protocol })
    }
}

impl FromStr for ExplainQuery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("not a place: '{text}' (HOST or ADDRESS, with an optional :PORT and /tcp, /udp or /icmp)");
        let Entry { peer, port, protocol } = text.parse().map_err(|_| bad())?;
        let host = match peer {
            Peer::Name(name) => name.to_string(),
            Peer::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
            Peer::Net(_) | Peer::Below(_) => return Err(bad()),
        };
        Ok(Self { host, port, protocol: protocol.map(Into::into) })
    }
}

impl ExplainInfo {
    /// The wire's view of an explanation.
    #[must_use]
    pub fn of(machine: &Machine, question: &Question, explained: Explanation) -> Self {
        let Explanation { resolve, addresses, note } = explained;
        let (verdict, rule) = conclude(resolve.as_ref(), &addresses);
        let host = match &question.host {
            Host::Name(name) => name.to_string(),
            Host::Address(address) => address.to_string(),
        };
        let info = |(address, decision): (IpAddr, Decision)| AddressInfo { address, decision: decision.into() };
        Self {
            machine_id: machine.id.to_string(),
            host,
            port: question.port,
            protocol: question.protocol.into(),
            verdict,
            rule,
            resolve: resolve.map(Into::into),
            addresses: addresses.into_iter().map(info).collect(),
            note,
        }
    }
}

fn conclude(resolve: Option<&Decision>, addresses: &[(IpAddr, Decision)]) -> (Conclusion, String) {
    if let Some(refused) = resolve.filter(|resolve| resolve.verdict == Verdict::Deny) {
        return (Conclusion::Deny, refused.rule.clone());
    }
    if let Some((_, allowed)) = addresses.iter().find(|(_, decision)| decision.verdict == Verdict::Allow) {
        return (Conclusion::Allow, allowed.rule.clone());
    }
    match (addresses.first(), resolve) {
        (Some((_, refused)), _) => (Conclusion::Deny, refused.rule.clone()),
        (None, resolve) => (Conclusion::Unknown, resolve.map(|resolve| resolve.rule.clone()).unwrap_or_default()),
    }
}

impl From<Decision> for DecisionInfo {
    fn from(decision: Decision) -> Self {
        let Decision { verdict, rule, condition } = decision;
        Self { verdict: verdict.into(), rule, condition: condition.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_core::policy::egress::Condition;

    fn decision(verdict: Verdict, rule: &str) -> Decision {
        Decision { verdict, rule: rule.to_owned(), condition: Condition::None }
    }

    fn check(resolve: Option<Verdict>, addresses: &[Verdict], verdict: Conclusion, rule: &str) {
        let resolve = resolve.map(|verdict| decision(verdict, "resolve"));
        let address =
            |(place, verdict): (usize, &Verdict)| ([1, 1, 1, 1].into(), decision(*verdict, &place.to_string()));
        let addresses: Vec<(IpAddr, Decision)> = addresses.iter().enumerate().map(address).collect();
        assert_eq!(conclude(resolve.as_ref(), &addresses), (verdict, rule.to_owned()));
    }

    #[test]
    fn one_address_that_is_allowed_is_enough() {
        check(None, &[Verdict::Allow], Conclusion::Allow, "0");
        check(None, &[Verdict::Deny], Conclusion::Deny, "0");
        check(Some(Verdict::Allow), &[Verdict::Deny, Verdict::Allow], Conclusion::Allow, "1");
        check(Some(Verdict::Allow), &[Verdict::Deny, Verdict::Deny], Conclusion::Deny, "0");
        check(Some(Verdict::Deny), &[], Conclusion::Deny, "resolve");
        check(Some(Verdict::Allow), &[], Conclusion::Unknown, "resolve");
    }

    #[test]
    fn a_place_is_read_as_people_write_it() {
        for (text, host, port, protocol) in [
            ("Example.com", "example.com", None, None),
            ("example.com:22", "example.com", Some(22), None),
            ("1.1.1.1:53/udp", "1.1.1.1", Some(53), Some(ProtocolWord::Udp)),
            ("[2001:db8::1]:80", "2001:db8::1", Some(80), None),
            ("2001:db8::1", "2001:db8::1", None, None),
            ("1.1.1.1/icmp", "1.1.1.1", None, Some(ProtocolWord::Icmp)),
        ] {
            let expected = ExplainQuery { host: host.to_owned(), port, protocol };
            assert_eq!(text.parse(), Ok(expected.clone()), "{text}");
            assert!(expected.question().is_ok(), "{text}");
        }
        for text in ["", "*.example.com", "10.0.0.0/8", "a b", "x:0", "x:70000", "1.1.1.1:1/icmp"] {
            assert!(text.parse::<ExplainQuery>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_question_without_a_port_is_about_https_and_an_echo_has_none() {
        let ask = |host: &str, port, protocol| ExplainQuery { host: host.to_owned(), port, protocol }.question();
        assert_eq!(ask("1.1.1.1", None, None).unwrap().port, 443);
        assert_eq!(ask("[::1]", None, Some(ProtocolWord::Icmp)).unwrap().port, 0);
        assert!(ask("1.1.1.1", Some(7), Some(ProtocolWord::Icmp)).unwrap_err().starts_with("port"));
        assert!(ask("1.1.1.1", Some(0), None).unwrap_err().starts_with("port"));
        assert!(ask("0x7f.1", None, None).unwrap_err().starts_with("host"));
    }
}
