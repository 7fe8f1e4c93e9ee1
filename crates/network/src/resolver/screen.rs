//! What becomes of a question before anybody is asked: most that is refused is refused here. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{Name, RData, RecordType};
use machine_core::network::{GATEWAY, HOST_NAME};
use machine_core::policy::egress::{DomainName, Verdict, reserved};

use super::Ipv6;
use super::message::{Answer, Asked};
use super::sift::NO_NAME;
use crate::gatekeeper::Gatekeeper;

/// Types that ask for more than records of a type, or that are none: ANY and transfers among them.
const META: std::ops::RangeInclusive<u16> = 128..=255;
const OPT: u16 = 41;
/// The zone of names that are our own.
const OWN_ZONE: &str = "machine.internal";

/// What becomes of it.
#[derive(Debug, PartialEq)]
pub(super) enum Course {
    /// It is answered here.
    Answer(Answer),
    /// It is refused by a rule.
    Refuse { answer: Answer, rule: String },
    /// It is asked.
    Ask(DomainName),
}

/// Names that are answered without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// The guest itself.
    Localhost,
    /// The host, at the gateway's address.
    Host,
    /// There is no such name.
    Nobody,
}

/// Whether a name is our own.
pub(super) fn own(name: &DomainName) -> Option<Own> {
    let below = |zone: &str| {
        let front = name.as_str().strip_suffix(zone);
        front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    match name.as_str() {
        HOST_NAME => Some(Own::Host),
        _ if below("localhost") => Some(Own::Localhost),
        _ if below(OWN_ZONE) => Some(Own::Nobody),
        _ => None,
    }
}

/// Decides what becomes of a question.
pub(super) fn screen(asked: &Asked, gatekeeper: &Gatekeeper, ipv6: Ipv6) -> Course {
    let kind = asked.query.query_type;
    let number = u16::from(kind);
    if number == 0 || number == OPT || META.contains(&number) {
        return refuse(ResponseCode::Refused, format!("resolver: no answers of type {kind}"));
    }
    let Some(name) = &asked.name else {
        return refuse(ResponseCode::NXDomain, NO_NAME.to_owned());
    };
    if let Some(own) = own(name) {
        return Course::Answer(answer_own(asked, own));
    }
    if is_reserved_arpa(&asked.query.name) {
        return Course::Answer(Answer::code(ResponseCode::NXDomain));
    }
    let decision = gatekeeper.may_resolve(name);
    if decision.verdict == Verdict::Deny {
        return refuse(ResponseCode::NXDomain, decision.rule);
    }
    match kind {
        // They hold the keys that hide a connection's name.
        RecordType::HTTPS | RecordType::SVCB if gatekeeper.goes_by_names() => Course::Answer(Answer::empty()),
        RecordType::AAAA if ipv6 == Ipv6::NoRoute => Course::Answer(Answer::empty()),
        // Of a library: every other type is asked for.
        _ => Course::Ask(name.clone()),
    }
}

fn refuse(code: ResponseCode, rule: String) -> Course {
    Course::Refuse { answer: Answer::prohibited(code, rule.clone()), rule }
}

fn answer_own(asked: &Asked, own: Own) -> Answer {
    match (own, asked.query.query_type) {
        (Own::Localhost, RecordType::A) => Answer::local(asked, RData::A(A(Ipv4Addr::LOCALHOST))),
        (Own::Localhost, RecordType::AAAA) => Answer::local(asked, RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        (Own::Host, RecordType::A) => Answer::local(asked, RData::A(A(GATEWAY))),
        (Own::Localhost | Own::Host, _) => Answer::empty(),
        (Own::Nobody, _) => Answer::code(ResponseCode::NXDomain),
    }
}

/// Whether a name is the backward name of reserved addresses: nobody outside could know theirs.
fn is_reserved_arpa(name: &Name) -> bool {
    let Ok(net) = name.parse_arpa_name() else { return false };
    reserved(net.addr()).is_some_and(|range| net.prefix_len() >= range.prefix_len())
}
