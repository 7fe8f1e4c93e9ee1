//! Servers that are down, silent, slow, wrong or lie; a configuration that changes.

use std::net::UdpSocket;

use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::TXT;
use machine_core::network::Transport;

use super::server::{Asked, address, answer, code, message};
use super::*;

fn silent(_: &Asked) -> Vec<Vec<u8>> {
    Vec::new()
}

fn right(asked: &Asked) -> Vec<Vec<u8>> {
    answer(asked, vec![address("example.com", 300, "93.184.216.34")])
}

fn configure(stage: &Stage, lines: &str) {
    let new = stage.folder.path().join("new");
    std::fs::write(&new, lines).unwrap();
    std::fs::rename(new, stage.folder.path().join("resolv.conf")).unwrap();
}

#[test]
fn without_a_server_there_is_a_failure_at_once() {
    let mut stage = Stage::new(open(), &[]);
    stage.is_refused("example.com", RecordType::A, ResponseCode::ServFail);
    assert_eq!(stage.resolver.next_deadline(), None);
}

#[test]
fn where_nobody_listens_there_is_a_failure() {
    let server = Server::new(silent);
    let mut stage = Stage::new(open(), &[&server]);
    drop(server);
    stage.is_refused("example.com", RecordType::A, ResponseCode::ServFail);
}

#[test]
fn a_silent_server_is_waited_for_five_seconds() {
    let server = Server::new(silent);
    let mut stage = Stage::new(open(), &[&server]);
    stage.send(GUEST, &question("example.com", RecordType::A));
    stage.listen_until(|_| !server.asked().is_empty());
    assert_eq!(stage.resolver.next_deadline(), Some(stage.now + 2 * SECOND));
    stage.pass(2 * SECOND);
    stage.listen_until(|_| server.asked().len() == 2);
    stage.pass(2 * SECOND);
    stage.pass(SECOND - Duration::from_nanos(1));
    assert!(stage.resolver.take().is_none());
    stage.pass(Duration::from_nanos(1));
    assert_eq!(stage.reply().metadata.response_code, ResponseCode::ServFail);
    assert_eq!((server.asked().len(), stage.resolver.next_deadline()), (2, None), "asked as often as it is configured");
    let ids: Vec<_> = server.asked().iter().map(|(_, asked, _)| asked.metadata.id).collect();
    assert!(ids[0] != 4711 && ids[1] != 4711 || ids[0] != ids[1], "ids of our own: {ids:?}");
}

#[test]
fn the_next_server_is_asked_after_a_second_and_the_first_still_listened_to() {
    let first = Server::new(silent);
    let second = Server::beside(first.address.port(), "127.0.0.2", right);
    let mut stage = Stage::new(open(), &[&first, &second]);
    stage.send(GUEST, &question("example.com", RecordType::A));
    stage.listen_until(|_| !first.asked().is_empty());
    assert!(second.asked().is_empty());
    stage.pass(SECOND);
    assert_eq!(addresses(&stage.reply()), ["93.184.216.34"]);
    assert_eq!(second.asked().len(), 1);
}

#[test]
fn a_server_that_cannot_is_passed_over_at_once() {
    for cannot in [ResponseCode::ServFail, ResponseCode::Refused] {
        let first = Server::new(move |asked| code(asked, cannot));
        let second = Server::beside(first.address.port(), "127.0.0.2", right);
        let mut stage = Stage::new(open(), &[&first, &second]);
        assert_eq!(addresses(&stage.ask("example.com", RecordType::A)), ["93.184.216.34"]);
    }
    let alone = Server::new(|asked| code(asked, ResponseCode::Refused));
    let mut stage = Stage::new(open(), &[&alone]);
    stage.is_refused("example.com", RecordType::A, ResponseCode::ServFail);
}

#[test]
fn a_server_without_extensions_is_asked_without() {
    let server = Server::new(|asked| match asked.1.edns {
        Some(_) => code(asked, ResponseCode::FormErr),
        None => right(asked),
    });
    let mut stage = Stage::new(open(), &[&server]);
    assert_eq!(addresses(&stage.ask("example.com", RecordType::A)), ["93.184.216.34"]);
}

#[test]
fn messages_that_are_no_answer_to_the_question_are_not_listened_to() {
    let server = Server::new(|asked| {
        let evil = |change: fn(&mut Message)| {
            let mut message = message(asked, ResponseCode::NoError, vec![address("example.com", 300, "93.184.216.66")]);
            change(&mut message);
            message.to_vec().unwrap()
        };
        let mut all = vec![
            evil(|message| message.metadata.id = message.metadata.id.wrapping_add(1)),
            evil(|message| message.metadata.message_type = MessageType::Query),
            evil(|message| message.metadata.op_code = OpCode::Notify),
            evil(|message| message.queries.clear()),
            evil(|message| message.queries[0].name = name("other.com")),
            evil(|message| message.queries[0].query_type = RecordType::AAAA),
            evil(|message| message.queries.push(message.queries[0].clone())),
            vec![],
            vec![0; 11],
        ];
        all.extend(right(asked));
        all
    });
    let mut stage = Stage::new(open(), &[&server]);
    assert_eq!(addresses(&stage.ask("example.com", RecordType::A)), ["93.184.216.34"]);
    assert!(stage.names_of("93.184.216.66").is_empty());
}

#[test]
fn nobody_but_the_server_is_listened_to() {
    let server = Server::new(|asked| {
        // Somebody else on the host who knows the id and the port.
        let evil = message(asked, ResponseCode::NoError, vec![address("example.com", 300, "93.184.216.66")]);
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = other.send_to(&evil.to_vec().unwrap(), asked.2);
        right(asked)
    });
    let mut stage = Stage::new(open(), &[&server]);
    assert_eq!(addresses(&stage.ask("example.com", RecordType::A)), ["93.184.216.34"]);
}

#[test]
fn nonsense_from_a_server_is_a_failure() {
    let server = Server::new(|asked| {
        let mut bytes = right(asked).remove(0);
        bytes.truncate(bytes.len() - 3);
        vec![bytes]
    });
    let mut stage = Stage::new(open(), &[&server]);
    stage.is_refused("example.com", RecordType::A, ResponseCode::ServFail);
}

/// So many bytes of text.
fn long(asked: &Asked, count: usize) -> Message {
    let text = |_| Record::from_rdata(name("example.com"), 300, RData::TXT(TXT::new(vec!["x".repeat(250)])));
    message(asked, ResponseCode::NoError, (0..count / 250).map(text).collect())
}

#[test]
fn what_is_too_long_for_a_datagram_is_asked_for_over_a_stream() {
    let server = Server::new(|asked| match asked.0 {
        Transport::Udp => vec![long(asked, 60_000).truncate().to_vec().unwrap()],
        Transport::Tcp => vec![long(asked, 60_000).to_vec().unwrap()],
    });
    let mut stage = Stage::new(open(), &[&server]);
    let kind = RecordType::TXT;
    for (asker, payload, whole) in
        [(GUEST, None, false), (GUEST, Some(1232), false), (GUEST, Some(u16::MAX), false), (Asker::Tcp(1), None, true)]
    {
        let asked = question("example.com", kind);
        stage.send(asker, &payload.map_or(asked.clone(), |payload| extended(asked, payload)));
        let reply = stage.reply();
        assert_eq!((reply.metadata.truncation, reply.answers.len()), (!whole, if whole { 240 } else { 0 }));
    }
    assert_eq!(server.asked().iter().filter(|(transport, ..)| *transport == Transport::Tcp).count(), 4);
}

#[test]
fn a_guest_is_told_in_a_datagram_what_it_says_it_takes() {
    let server = Server::new(|asked| vec![long(asked, 1000).to_vec().unwrap()]);
    let mut stage = Stage::new(open(), &[&server]);
    assert!(stage.ask("example.com", RecordType::TXT).metadata.truncation);
    stage.send(GUEST, &extended(question("example.com", RecordType::TXT), 1232));
    let reply = stage.reply();
    assert_eq!((reply.metadata.truncation, reply.answers.len()), (false, 4));
}

#[test]
fn a_datagram_cut_in_the_middle_is_asked_for_over_a_stream() {
    let server = Server::new(|asked| {
        let mut bytes = right(asked).remove(0);
        if asked.0 == Transport::Udp {
            bytes[2] |= 2;
            bytes.truncate(bytes.len() - 3);
        }
        vec![bytes]
    });
    let mut stage = Stage::new(open(), &[&server]);
    assert_eq!(addresses(&stage.ask("example.com", RecordType::A)), ["93.184.216.34"]);
}

#[test]
fn a_stream_that_ends_too_early_is_a_failure() {
    let server = Server::new(|asked| match asked.0 {
        Transport::Udp => vec![long(asked, 60_000).truncate().to_vec().unwrap()],
        Transport::Tcp => vec![vec![0; 3], Vec::new()],
    });
    let mut stage = Stage::new(open(), &[&server]);
    stage.send(GUEST, &question("example.com", RecordType::TXT));
    stage.listen_until(|_| server.asked().len() == 2);
    stage.pass(2 * SECOND);
    stage.pass(2 * SECOND);
    stage.pass(SECOND);
    assert_eq!(stage.reply().metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn streams_are_used_first_where_the_host_wants_that() {
    let server = Server::new(right);
    let mut stage = Stage::new(open(), &[&server]);
    configure(&stage, "nameserver 127.0.0.1\noptions use-vc\n");
    assert_eq!(addresses(&stage.ask("example.com", RecordType::A)), ["93.184.216.34"]);
    assert_eq!(server.asked()[0].0, Transport::Tcp);
}

#[test]
fn a_configuration_that_changes_is_followed() {
    let first = Server::new(right);
    let second = Server::beside(first.address.port(), "127.0.0.2", right);
    let mut stage = Stage::new(open(), &[&first]);
    stage.ask("example.com", RecordType::A);
    configure(&stage, "nameserver 127.0.0.2\n");
    stage.ask("example.com", RecordType::A);
    assert_eq!((first.asked().len(), second.asked().len()), (2, 0), "looked at twice a second at most");
    stage.now += SECOND / 2;
    stage.ask("example.com", RecordType::A);
    assert_eq!((first.asked().len(), second.asked().len()), (2, 1));
}

#[test]
fn a_question_on_its_way_goes_to_the_new_servers() {
    let first = Server::new(silent);
    let second = Server::beside(first.address.port(), "127.0.0.2", right);
    let mut stage = Stage::new(open(), &[&first]);
    stage.send(GUEST, &question("example.com", RecordType::A));
    stage.pass(2 * SECOND);
    stage.listen_until(|_| first.asked().len() == 2);
    configure(&stage, "nameserver 127.0.0.2\n");
    stage.pass(2 * SECOND);
    assert_eq!(addresses(&stage.reply()), ["93.184.216.34"]);
    assert_eq!((first.asked().len(), second.asked().len()), (2, 1));
}

#[test]
fn so_many_questions_are_open_and_no_more() {
    let server = Server::new(silent);
    let mut stage = Stage::new(open(), &[&server]);
    for number in 0..upstream::MOST_OPEN + 10 {
        stage.send(Asker::Tcp(number as u64), &question(&format!("n{number}.com"), RecordType::A));
    }
    for _ in 0..10 {
        assert_eq!(stage.reply().metadata.response_code, ResponseCode::ServFail);
    }
    assert!(stage.resolver.take().is_none());
    assert_eq!(stage.refused(), ["resolver: too many questions are open"]);
    stage.resolver.forget(0);
    stage.send(GUEST, &question("example.com", RecordType::A));
    assert!(stage.resolver.take().is_none(), "the place of a stream that is closed");
    stage.pass(5 * SECOND);
    let replies = std::iter::from_fn(|| stage.resolver.take()).count();
    assert_eq!(replies, upstream::MOST_OPEN);
}
