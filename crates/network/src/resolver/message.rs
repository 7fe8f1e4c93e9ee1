//! Messages of the guest: its questions, read strictly, and the answers it is given. Knows no rules.

use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use machine_core::policy::egress::DomainName;

use super::Asker;
use crate::gatekeeper::LONGEST_PIN;

const HEADER: usize = 12;
/// Questions are short.
const LONGEST_QUESTION: usize = 4096;
/// What we take by UDP from the guest, and send at most, if it says that it takes so much.
const LONGEST_DATAGRAM: u16 = 4096;
/// What everybody takes by UDP.
const SHORTEST_LIMIT: u16 = 512;
/// Extended DNS errors (RFC 8914): the option, and the code for what rules of an operator forbid.
const EXTENDED_ERROR: u16 = 15;
const PROHIBITED: u16 = 18;
/// How long what is answered here is valid.
const LOCAL_TTL: u32 = 60;

/// A question that can be answered.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    id: u16,
    /// As it was asked, with the letters as they were.
    pub(super) query: Query,
    /// What is asked for, if it is a host's name.
    pub(super) name: Option<DomainName>,
    recursion_desired: bool,
    pub(super) checking_disabled: bool,
    extensions: Option<Extensions>,
}

#[derive(Debug, Clone, Copy)]
struct Extensions {
    payload: u16,
    dnssec: bool,
}

/// What is not a question that can be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Not even a question.
    Silence,
    /// This is to be said.
    Say(Vec<u8>),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) records: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    /// Whether the host's resolver vouches for it.
    pub(super) authentic: bool,
    /// The rule that forbids more.
    pub(super) prohibited: Option<String>,
}

impl Answer {
    pub(super) const fn code(code: ResponseCode) -> Self {
        Self { code, records: Vec::new(), authorities: Vec::new(), authentic: false, prohibited: None }
    }

    /// There is nothing of this type.
    pub(super) const fn empty() -> Self {
        Self::code(ResponseCode::NoError)
    }

    pub(super) fn prohibited(code: ResponseCode, rule: String) -> Self {
        Self { prohibited: Some(rule), ..Self::code(code) }
    }

    /// One record, of the name that was asked for.
    pub(super) fn local(asked: &Asked, data: RData) -> Self {
        let record = Record::from_rdata(asked.query.name.clone(), LOCAL_TTL, data);
        Self { records: vec![record], ..Self::empty() }
    }
}

impl Asked {
    /// Reads a question. What is counted in the header is looked at before anything is allotted for it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let Some(header) = bytes.get(..HEADER) else { return Err(Unreadable::Silence) };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let is_response = header[2] & 0x80 != 0;
        if is_response {
            return Err(Unreadable::Silence);
        }
        let say = |code| Unreadable::Say(bare(header, code));
        if header[2] >> 3 & 0xf != 0 {
            return Err(say(ResponseCode::NotImp));
        }
        let one_question = word(4) == 1 && word(6) == 0 && word(8) == 0 && word(10) <= 2;
        if !one_question || bytes.len() > LONGEST_QUESTION {
            return Err(say(ResponseCode::FormErr));
        }
        let message = Message::from_vec(bytes).map_err(|_| say(ResponseCode::FormErr))?;
        let Some(query) = message.queries.first().cloned() else { return Err(say(ResponseCode::FormErr)) };
        if query.query_class != DNSClass::IN {
            return Err(say(ResponseCode::Refused));
        }
        let extensions = message.edns.as_ref().map(|edns| Extensions {
            payload: edns.max_payload().clamp(SHORTEST_LIMIT, LONGEST_DATAGRAM),
            dnssec: edns.flags().dnssec_ok,
        });
        let asked = Self {
            id: message.metadata.id,
            name: host_name(&query.name),
            query,
            recursion_desired: message.metadata.recursion_desired,
            checking_disabled: message.metadata.checking_disabled,
            extensions,
        };
        if message.version() != 0 {
            let unknown = asked.answered(Answer::code(ResponseCode::BADVERS));
            return Err(Unreadable::Say(unknown.to_vec().unwrap_or_default()));
        }
        Ok(asked)
    }

    /// Whether signatures are asked for.
    pub(super) fn wants_dnssec(&self) -> bool {
        self.extensions.is_some_and(|extensions| extensions.dnssec)
    }

    /// The answer as bytes: what is too long for a datagram is asked for again over TCP.
    pub(super) fn reply(&self, answer: Answer, asker: Asker) -> Vec<u8> {
        let limit = match asker {
            Asker::Udp(_) => self.extensions.map_or(SHORTEST_LIMIT, |extensions| extensions.payload),
            Asker::Tcp(_) => u16::MAX,
        };
        let fits = |bytes: &Vec<u8>| bytes.len() <= usize::from(limit);
        let mut message = self.answered(answer);
        if let Some(bytes) = message.to_vec().ok().filter(fits) {
            return bytes;
        }
        message.answers.clear();
        message.authorities.clear();
        match asker {
            Asker::Udp(_) => message.metadata.truncation = true,
            Asker::Tcp(_) => message.metadata.response_code = ResponseCode::ServFail,
        }
        message.to_vec().unwrap_or_default()
    }

    fn answered(&self, answer: Answer) -> Message {
        let mut message = Message::response(self.id, OpCode::Query);
        message.metadata.message_type = MessageType::Response;
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.recursion_available = true;
        message.metadata.checking_disabled = self.checking_disabled;
        message.metadata.authentic_data = answer.authentic;
        message.metadata.response_code = answer.code;
        message.queries.push(self.query.clone());
        message.answers = answer.records;
        message.authorities = answer.authorities;
        message.edns = self.extensions.map(|extensions| {
            let mut edns = Edns::new();
            edns.set_max_payload(LONGEST_DATAGRAM);
            edns.set_dnssec_ok(extensions.dnssec);
            if let Some(rule) = &answer.prohibited {
                let text = [&PROHIBITED.to_be_bytes()[..], rule.as_bytes()].concat();
                edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, text));
            }
            edns
        });
        message
    }
}

/// A header alone, for what cannot be answered as a question.
fn bare(header: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut reply = vec![0; HEADER];
    reply[..2].copy_from_slice(&header[..2]);
    // A response with the operation and the wish for recursion as they were.
    reply[2] = 0x80 | header[2] & 0x79;
    reply[3] = 0x80 | code.low();
    reply
}

/// A name of DNS as a host's name: letters that hosts do not have, a dot within a label above all, make it none.
pub(super) fn host_name(name: &Name) -> Option<DomainName> {
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label| std::str::from_utf8(label).ok().filter(|text| text.as_bytes().iter().all(letters));
    let labels: Option<Vec<&str>> = name.iter().map(label).collect();
    labels?.join(".").parse().ok()
}

/// A host's name as a name of DNS.
pub(super) fn dns_name(name: &DomainName) -> Option<Name> {
    let mut dns = Name::from_labels(name.as_str().split('.').map(str::as_bytes)).ok()?;
    dns.set_fqdn(true);
    Some(dns)
}

/// A time to live: one with its highest bit set is none (RFC 2181), and none is longer than a pin.
pub(super) fn lifetime(ttl: u32) -> Duration {
    let seconds = i32::try_from(ttl).map_or(0, i32::unsigned_abs);
    Duration::from_secs(seconds.into()).min(LONGEST_PIN)
}
