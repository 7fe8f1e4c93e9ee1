//! Whatever a guest or a server sends: bounded, and never a panic.

use proptest::prelude::*;

use super::server::{address, cname};
use super::*;
use crate::resolver::inquiry::Heard;

fn says(bytes: &[u8]) -> Option<(u16, u8)> {
    let mut stage = Stage::new(open(), &[]);
    stage.with(|resolver, moment| resolver.query(moment, GUEST, bytes));
    match stage.resolver.take() {
        Some(Outcome::Reply { bytes, .. }) => Some((u16::from_be_bytes([bytes[0], bytes[1]]), bytes[3] & 0xf)),
        Some(Outcome::Found(_)) | None => None,
    }
}

#[test]
fn what_is_not_one_plain_question_is_told_so() {
    let plain = question("example.com", RecordType::A).to_vec().unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = plain.clone();
        bytes[at] = byte;
        bytes
    };
    let (format_error, not_implemented, refused) = (Some((4711, 1)), Some((4711, 4)), Some((4711, 5)));
    assert_eq!(says(&plain[..11]), None);
    assert_eq!(says(&[]), None);
    assert_eq!(says(&changed(2, 0x81)), None, "a response");
    assert_eq!(says(&changed(2, 0x29)), not_implemented, "an update");
    for (at, byte) in [(4, 0xff), (5, 0), (5, 2), (7, 1), (9, 1), (10, 9), (11, 3), (11, 1)] {
        assert_eq!(says(&changed(at, byte)), format_error, "byte {at}");
    }
    assert_eq!(says(&plain[..20]), format_error);
    assert_eq!(says(&[plain.clone(), vec![0; 4096]].concat()), format_error);
    let class = plain.len() - 1;
    assert_eq!(says(&changed(class, 3)), refused, "another class");
    let mut version = extended(question("example.com", RecordType::A), 1232);
    version.edns.as_mut().unwrap().set_version(1);
    let mut stage = Stage::new(open(), &[]);
    stage.send(GUEST, &version);
    assert_eq!(u16::from(stage.reply().metadata.response_code), u16::from(ResponseCode::BADVERS));
}

#[test]
fn a_name_of_pointers_in_a_circle_is_no_question() {
    let header = [0x12, 0x67, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for pointer in [[0xc0, 12], [0xc0, 0], [0xff, 0xff]] {
        let bytes = [&header[..], &pointer, &[0, 1, 0, 1]].concat();
        assert_eq!(says(&bytes).map(|(_, code)| code), Some(1));
    }
}

fn inquiry() -> Inquiry {
    Inquiry::addresses("example.com".parse().unwrap(), RecordType::A)
}

/// A server's answer, changed in a few places.
fn nearly_answer() -> impl Strategy<Value = Vec<u8>> {
    let mut message = Message::response(7, OpCode::Query);
    message.queries.push(Query::query(name("example.com"), RecordType::A));
    message.answers = vec![cname("example.com", 300, "other.com"), address("other.com", 300, "93.184.216.34")];
    let whole = message.to_vec().unwrap();
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6).prop_map(move |changes| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// A guest's question, changed in a few places and cut.
fn nearly_question() -> impl Strategy<Value = Vec<u8>> {
    let whole = extended(question("www.example.com", RecordType::A), 1232).to_vec().unwrap();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(move |(changes, cut, cuts)| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

proptest! {
    #[test]
    fn a_guests_bytes_are_answered_once_or_not_at_all(
        bytes in prop_oneof![nearly_question(), prop::collection::vec(any::<u8>(), 0..600)],
    ) {
        // Nobody is there to be asked, so all that comes is known at once.
        let mut stage = Stage::new(policy(Verdict::Allow, &[], &["*.evil.com"]), &[]);
        stage.with(|resolver, moment| resolver.query(moment, GUEST, &bytes));
        if let Some(Outcome::Reply { bytes: reply, .. }) = stage.resolver.take() {
            prop_assert_eq!(&reply[..2], &bytes[..2]);
            prop_assert!(reply[2] & 0x80 != 0 && reply.len() <= 4096);
        }
        prop_assert!(stage.resolver.take().is_none());
    }

    #[test]
    fn of_a_servers_bytes_only_addresses_that_may_be_answered_are_left(
        bytes in prop_oneof![nearly_answer(), prop::collection::vec(any::<u8>(), 0..600)],
    ) {
        let keeper = Gatekeeper::new(policy(Verdict::Allow, &[], &["*.evil.com"]));
        if let Heard::Answer(message) = inquiry().hear(7, &bytes) {
            let sifted = sift::sift(*message, &inquiry(), &keeper);
            for address in sifted.addresses {
                prop_assert_eq!(keeper.may_answer(address).verdict, Verdict::Allow);
            }
            prop_assert!(sifted.answer.records.iter().all(|record| record.ttl <= 3600));
        }
    }
}
