//! What of a server's answer reaches the guest: the chain of other names from what was asked, what is there of
//! the type that was asked for, and who says so. Addresses that no machine may reach are taken out of it.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use machine_core::policy::egress::{DomainName, Verdict};

use super::inquiry::Inquiry;
use super::message::{Answer, dns_name, host_name, lifetime};
use crate::gatekeeper::{Gatekeeper, LONGEST_PIN};

/// Other names in one answer.
const LONGEST_CHAIN: usize = 16;

/// An answer, and what is to be known of it.
#[derive(Debug)]
pub(super) struct Sifted {
    pub(super) answer: Answer,
    /// The addresses that stand in it, of the name that was asked for.
    pub(super) addresses: Vec<IpAddr>,
    /// How long all of it is valid.
    pub(super) lifetime: Duration,
    /// What was taken out, and why.
    pub(super) removed: Vec<(IpAddr, String)>,
    /// A name in the chain that refuses all of it, and why.
    pub(super) refused: Option<(Option<DomainName>, String)>,
}

impl Sifted {
    fn only(answer: Answer) -> Self {
        Self { answer, addresses: Vec::new(), lifetime: Duration::ZERO, removed: Vec::new(), refused: None }
    }

    fn refused(name: Option<DomainName>, rule: String) -> Self {
        let answer = Answer::prohibited(ResponseCode::NXDomain, rule.clone());
        Self { refused: Some((name, rule)), ..Self::only(answer) }
    }
}

/// Sifts the answer to a question.
pub(super) fn sift(message: Message, inquiry: &Inquiry, gatekeeper: &Gatekeeper) -> Sifted {
    let Some(asked) = dns_name(&inquiry.name) else { return Sifted::only(Answer::code(ResponseCode::ServFail)) };
    let metadata = message.metadata;
    let all = message.answers.len();
    let mut records: Vec<Record> =
        message.answers.into_iter().filter(|record| record.dns_class == DNSClass::IN).collect();
    let chain = match chain(&asked, &records, inquiry.kind, gatekeeper) {
        Ok(chain) => chain,
        Err(Broken::Endless) => return Sifted::only(Answer::code(ResponseCode::ServFail)),
        Err(Broken::Refused(name, rule)) => return Sifted::refused(name, rule),
    };
    records.retain(|record| belongs(record, &chain, inquiry));
    let mut sifted = Sifted { lifetime: LONGEST_PIN, ..Sifted::only(Answer::code(metadata.response_code)) };
    records.retain(|record| sifted.keeps(record, gatekeeper));
    if !sifted.removed.is_empty() && !records.iter().any(|record| record.record_type() == inquiry.kind) {
        records.clear();
        sifted.answer.prohibited = sifted.removed.first().map(|(_, rule)| rule.clone());
    }
    for record in &mut records {
        let valid = lifetime(record.ttl);
        record.ttl = u32::try_from(valid.as_secs()).unwrap_or(0);
        sifted.lifetime = sifted.lifetime.min(valid);
    }
    sifted.answer.authentic = metadata.authentic_data && records.len() == all;
    sifted.answer.records = records;
    sifted.answer.authorities = message.authorities.into_iter().filter(|record| vouches(record, inquiry)).collect();
    sifted
}

enum Broken {
    /// Longer than a chain is, or a circle.
    Endless,
    /// By an entry made for the name, or because it is no host's name.
    Refused(Option<DomainName>, String),
}

/// The names from what was asked to what has the records.
fn chain(asked: &Name, records: &[Record], kind: RecordType, keeper: &Gatekeeper) -> Result<Vec<Name>, Broken> {
    let mut chain = vec![asked.clone()];
    if kind == RecordType::CNAME {
        return Ok(chain);
    }
    while let Some(next) = chain.last().and_then(|name| other_name(name, records)) {
        if chain.len() > LONGEST_CHAIN || chain.contains(next) {
            return Err(Broken::Endless);
        }
        match host_name(next) {
            Some(name) => {
                if let Some(refused) = keeper.refuses_name(&name) {
                    return Err(Broken::Refused(Some(name), refused.rule));
                }
            }
            // It could be below a name that is denied, and nobody could tell.
            None if keeper.goes_by_names() => return Err(Broken::Refused(None, NO_NAME.to_owned())),
            None => {}
        }
        chain.push(next.clone());
    }
    Ok(chain)
}

pub(super) const NO_NAME: &str = "resolver: not a host's name";

fn other_name<'a>(name: &Name, records: &'a [Record]) -> Option<&'a Name> {
    records.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(other) => Some(&other.0),
        // Of a library: no other type leads on.
        _ => None,
    })
}

/// Whether a record is part of the answer: a link of the chain, or what was asked for at its end.
fn belongs(record: &Record, chain: &[Name], inquiry: &Inquiry) -> bool {
    let is_last = chain.last() == Some(&record.name);
    match &record.data {
        RData::CNAME(other) if inquiry.kind != RecordType::CNAME => {
            chain.windows(2).any(|link| link[0] == record.name && link[1] == other.0)
        }
        // Of a library: all the others are told apart by their type.
        data => match data.record_type() {
            RecordType::RRSIG => {
                (inquiry.dnssec && chain.contains(&record.name)) || (inquiry.kind == RecordType::RRSIG && is_last)
            }
            kind => kind == inquiry.kind && is_last,
        },
    }
}

/// Who has authority over what is not there, and proofs of it. Never addresses.
fn vouches(record: &Record, inquiry: &Inquiry) -> bool {
    match record.record_type() {
        RecordType::SOA => true,
        RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 | RecordType::DS => inquiry.dnssec,
        // Of a library: what is not known to be harmless is left out.
        _ => false,
    }
}

impl Sifted {
    /// Whether a record stays; notes its addresses.
    fn keeps(&mut self, record: &Record, gatekeeper: &Gatekeeper) -> bool {
        let (addresses, is_address) = match &record.data {
            RData::A(a) => (vec![IpAddr::V4(a.0)], true),
            RData::AAAA(aaaa) => (vec![IpAddr::V6(aaaa.0)], true),
            RData::HTTPS(https) => (hints(&https.0.svc_params), false),
            RData::SVCB(svcb) => (hints(&svcb.svc_params), false),
            // Of a library: no other type holds addresses that programs connect to.
            _ => return true,
        };
        for address in &addresses {
            let decision = gatekeeper.may_answer(*address);
            if decision.verdict == Verdict::Deny {
                self.removed.push((*address, decision.rule));
                return false;
            }
        }
        if is_address {
            self.addresses.extend(addresses);
        }
        true
    }
}

fn hints<K>(parameters: &[(K, SvcParamValue)]) -> Vec<IpAddr> {
    let of_one = |(_, value): &(K, SvcParamValue)| match value {
        SvcParamValue::Ipv4Hint(hint) => hint.0.iter().map(|a| IpAddr::V4(a.0)).collect(),
        SvcParamValue::Ipv6Hint(hint) => hint.0.iter().map(|aaaa| IpAddr::V6(aaaa.0)).collect(),
        // Of a library: the other parameters hold no addresses.
        _ => Vec::new(),
    };
    parameters.iter().flat_map(of_one).collect()
}
