//! A question as it is asked of the host's servers: built anew, so that nothing of the guest's message but the
//! question goes out, and answers matched strictly.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use machine_core::policy::egress::DomainName;

use super::message::{dns_name, host_name};

/// What is taken by UDP: what passes every network whole.
const PAYLOAD: u16 = 1232;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inquiry {
    pub(super) name: DomainName,
    pub(super) kind: RecordType,
    pub(super) dnssec: bool,
    pub(super) checking_disabled: bool,
}

/// Whether extensions are spoken: some old servers refuse what has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extensions {
    Spoken,
    Left,
}

/// What a server's message is.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// Not an answer to this.
    NotOurs,
    /// The answer is longer; it is to be asked for over TCP.
    Truncated,
    /// It does not understand extensions.
    NoExtensions,
    /// It does not answer this.
    Failed,
    Answer(Box<Message>),
}

impl Inquiry {
    /// The addresses of a name.
    pub(super) const fn addresses(name: DomainName, kind: RecordType) -> Self {
        Self { name, kind, dnssec: false, checking_disabled: false }
    }

    /// As bytes; none if the name cannot be written, which a host's name always can.
    pub(super) fn ask(&self, id: u16, extensions: Extensions) -> Option<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = self.checking_disabled;
        message.queries.push(Query::query(dns_name(&self.name)?, self.kind));
        if extensions == Extensions::Spoken {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD);
            edns.set_dnssec_ok(self.dnssec);
            message.edns = Some(edns);
        }
        message.to_vec().ok()
    }

    /// What a server said. The counts are looked at before anything is allotted for them.
    pub(super) fn hear(&self, id: u16, bytes: &[u8]) -> Heard {
        let Some(header) = bytes.get(..12) else { return Heard::NotOurs };
        let is_ours = header[..2] == id.to_be_bytes() && header[2] & 0xf8 == 0x80;
        if !is_ours {
            return Heard::NotOurs;
        }
        let questions = u16::from_be_bytes([header[4], header[5]]);
        if questions > 1 {
            return Heard::NotOurs;
        }
        // Without the question only what says that it was not even read is believed.
        let not_read = header[3] & 0xf == ResponseCode::FormErr.low();
        if questions == 0 {
            return if not_read { Heard::NoExtensions } else { Heard::NotOurs };
        }
        let truncated = header[2] & 0x02 != 0;
        match Message::from_vec(bytes) {
            // Cut in the middle of a record, maybe.
            Err(_) if truncated => Heard::Truncated,
            Err(_) => Heard::Failed,
            Ok(message) if !self.is_asked_in(&message) => Heard::NotOurs,
            Ok(_) if truncated => Heard::Truncated,
            Ok(message) => match message.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => Heard::Answer(Box::new(message)),
                // 16 is both, without and with a signature.
                ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS | ResponseCode::BADSIG => {
                    Heard::NoExtensions
                }
                // Of a library: what is new there is a failure to us.
                _ => Heard::Failed,
            },
        }
    }

    fn is_asked_in(&self, message: &Message) -> bool {
        message.queries.iter().all(|query| {
            query.query_type == self.kind
                && query.query_class == DNSClass::IN
                && host_name(&query.name).as_ref() == Some(&self.name)
        })
    }
}
