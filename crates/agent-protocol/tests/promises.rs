//! What the protocol promises whatever bytes come, in whatever chunks, cut wherever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use machine_agent_protocol::frame::{Header, Kind};
use machine_agent_protocol::{
    AgentConnection, AgentEvent, AgentFacts, AgentState, Answer, Channel, Decoded, Exec, HostConnection, HostEvent,
    MAGIC, Request, StreamId, WINDOW, Welcome,
    datagram::{self, Unpacker},
};
use proptest::prelude::*;

fn agent() -> AgentConnection {
    AgentConnection::new(AgentFacts {
        agent_version: "1".into(),
        boot_id: "boot".into(),
        kernel: "6.12".into(),
        state: AgentState::Ready,
    })
}

fn drain_agent(agent: &mut AgentConnection) -> Vec<u8> {
    let bytes = agent.output().to_vec();
    agent.wrote(bytes.len());
    bytes
}

fn drain_host(host: &mut HostConnection) -> Vec<u8> {
    let bytes = host.output().to_vec();
    host.wrote(bytes.len());
    bytes
}

fn agent_events(agent: &mut AgentConnection) -> Vec<AgentEvent> {
    std::iter::from_fn(|| agent.next_event()).collect()
}

fn host_events(host: &mut HostConnection) -> Vec<HostEvent> {
    std::iter::from_fn(|| host.next_event()).collect()
}

/// Carries bytes both ways until nobody has any to write.
fn carry(host: &mut HostConnection, agent: &mut AgentConnection) {
    loop {
        let (there, back) = (drain_host(host), drain_agent(agent));
        if there.is_empty() && back.is_empty() {
            return;
        }
        agent.receive(&there);
        host.receive(&back).unwrap();
    }
}

fn session(nonce: u64) -> (HostConnection, AgentConnection) {
    let (mut host, mut agent) = (HostConnection::new(nonce, "1"), agent());
    carry(&mut host, &mut agent);
    assert!(matches!(host_events(&mut host).as_slice(), [HostEvent::Welcomed(Welcome { version: 1, .. })]));
    agent_events(&mut agent);
    (host, agent)
}

fn exec() -> Request {
    Exec::argv(["cat"]).into()
}

fn count_magic(bytes: &[u8]) -> usize {
    bytes.windows(MAGIC.len()).filter(|window| *window == MAGIC).count()
}

/// Bytes with whole and half MAGICs in them.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(MAGIC.to_vec()),
        (0..16_usize).prop_map(|n| MAGIC[..n].to_vec()),
        (0..16_usize).prop_map(|n| MAGIC[n..].to_vec()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Bytes that look like frames, right and wrong.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = (0..8_u8, 0..4_u8, 0..5_u8, 0..8_u8, tricky(), 0..20_u8).prop_map(
        |(kind, channel, flags, stream, payload, short)| {
            let declared = u8::try_from(payload.len().min(250)).unwrap().saturating_sub(short / 16);
            let mut bytes = vec![kind, channel, flags, 0, stream, 0, 0, 0, declared, 0, 0, 0];
            bytes.extend(payload);
            bytes
        },
    );
    proptest::collection::vec(frame, 0..20).prop_map(|frames| frames.concat())
}

fn chunks(mut bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*size).min(bytes.len()));
        out.push(chunk.to_vec());
        bytes = rest;
    }
    out
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..30_usize, 1..8)
}

proptest! {
    #[test]
    fn no_bytes_make_an_end_panic(garbage in frames(), more in tricky()) {
        for open in [false, true] {
            let (mut host, mut agent) = if open { session(7) } else { (HostConnection::new(7, "1"), agent()) };
            if open {
                host.open(&exec()).unwrap();
            }
            for bytes in [&garbage, &more] {
                agent.receive(bytes);
                let _ = host.receive(bytes);
            }
        }
    }

    #[test]
    fn no_message_makes_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), number in 0..110_u8) {
        let mut numbered = vec![0x82, 0x18, number];
        numbered.extend(&bytes);
        for bytes in [&bytes, &numbered] {
            let _ = Request::decode(bytes);
            let _ = Answer::decode(bytes);
            let _ = machine_agent_protocol::Control::decode(bytes);
            let _ = machine_agent_protocol::Session::decode(bytes);
            let _ = machine_agent_protocol::ListenerNews::decode(bytes);
        }
    }

    #[test]
    fn datagrams_arrive_one_by_one_in_whatever_chunks(
        sent in proptest::collection::vec(tricky(), 0..12),
        sizes in sizes(),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|one| datagram::packed(one).unwrap()).collect();
        let (mut unpacker, mut arrived) = (Unpacker::default(), Vec::new());
        for chunk in chunks(&bytes, &sizes) {
            unpacker.push(&chunk);
            while let Some(one) = unpacker.next_datagram() {
                arrived.push(one.to_vec());
            }
        }
        prop_assert_eq!(arrived, sent);
    }

    #[test]
    fn no_bytes_make_datagrams_of_more_than_came(babble in tricky(), sizes in sizes()) {
        let (mut unpacker, mut came) = (Unpacker::default(), 0);
        for chunk in chunks(&babble, &sizes) {
            unpacker.push(&chunk);
            while let Some(one) = unpacker.next_datagram() {
                came += one.len() + 2;
            }
        }
        prop_assert!(came <= babble.len());
    }

    #[test]
    fn chunks_do_not_matter(data in tricky(), junk in frames(), sizes in sizes()) {
        let mut bytes = drain_host(&mut HostConnection::new(1, "1"));
        bytes.extend(&data);
        let (mut host, mut helper) = (HostConnection::new(2, "1"), agent());
        carry_into(&mut host, &mut helper, &mut bytes);
        let stream = host.open(&exec()).unwrap();
        host.send_data(stream, Channel::Content, &data).unwrap();
        bytes.extend(drain_host(&mut host));
        bytes.extend(&junk);
        bytes.extend(drain_host(&mut HostConnection::new(3, "1")));
        let (mut whole, mut split) = (agent(), agent());
        whole.receive(&bytes);
        for chunk in chunks(&bytes, &sizes) {
            split.receive(&chunk);
        }
        prop_assert_eq!(format!("{:?}", agent_events(&mut whole)), format!("{:?}", agent_events(&mut split)));
        prop_assert_eq!(drain_agent(&mut whole), drain_agent(&mut split));
    }

    #[test]
    fn magic_is_only_in_the_preamble_and_data_arrives_whole(data in tricky(), sizes in sizes()) {
        let (mut host, mut agent) = session(5);
        let stream = host.open(&exec()).unwrap();
        let mut sent = 0;
        for chunk in chunks(&data, &sizes) {
            sent += host.send_data(stream, Channel::Content, &chunk).unwrap();
        }
        prop_assert_eq!(sent, data.len());
        host.send_data(stream, Channel::Content, &data).unwrap();
        let bytes = drain_host(&mut host);
        prop_assert_eq!(count_magic(&bytes), 0);
        agent.receive(&bytes);
        let mut arrived = Vec::new();
        for event in agent_events(&mut agent) {
            if let AgentEvent::Data { bytes, .. } = event {
                arrived.extend(bytes);
            }
        }
        prop_assert_eq!(arrived, [data.as_slice(), data.as_slice()].concat());
    }

    #[test]
    fn a_new_host_is_understood_wherever_the_old_one_stopped(data in tricky(), cut in any::<prop::sample::Index>()) {
        let (mut old, mut agent) = session(5);
        let stream = old.open(&exec()).unwrap();
        old.send_data(stream, Channel::Content, &data).unwrap();
        let bytes = drain_host(&mut old);
        agent.receive(&bytes[..cut.index(bytes.len() + 1)]);
        agent_events(&mut agent);
        // What the agent still had for the old host, cut anywhere, reaches the new one first.
        agent.send_data(stream, Channel::Content, &data).unwrap_or_default();
        let left = drain_agent(&mut agent);
        let mut host = HostConnection::new(6, "1");
        host.receive(&left[cut.index(left.len() + 1)..]).unwrap();
        carry(&mut host, &mut agent);
        let welcomed = matches!(host_events(&mut host).as_slice(), [HostEvent::Welcomed(Welcome { nonce: 6, .. })]);
        prop_assert!(welcomed);
        let stream = host.open(&exec()).unwrap();
        carry(&mut host, &mut agent);
        let heard = agent_events(&mut agent);
        let asked = matches!(heard.last(), Some(AgentEvent::Request { stream: s, .. }) if *s == stream);
        prop_assert!(asked, "{:?}", heard);
    }
}

fn carry_into(host: &mut HostConnection, agent: &mut AgentConnection, seen: &mut Vec<u8>) {
    loop {
        let (there, back) = (drain_host(host), drain_agent(agent));
        if there.is_empty() && back.is_empty() {
            return;
        }
        seen.extend(&there);
        agent.receive(&there);
        host.receive(&back).unwrap();
    }
}

#[test]
fn a_host_that_spoke_before_the_agent_was_awake_is_welcomed_once() {
    let (mut host, mut agent) = (HostConnection::new(5, "1"), agent());
    agent.receive(&drain_host(&mut host));
    host.receive(&drain_agent(&mut agent)).unwrap();
    carry(&mut host, &mut agent);
    let stream = host.open(&exec()).unwrap();
    carry(&mut host, &mut agent);
    let welcomes = host_events(&mut host);
    assert!(matches!(welcomes.as_slice(), [HostEvent::Welcomed(_)]), "{welcomes:?}");
    agent.finish(stream, &Answer::DONE).unwrap();
    carry(&mut host, &mut agent);
    let heard = host_events(&mut host);
    assert!(matches!(heard.as_slice(), [HostEvent::Answer { answer: Decoded::Known(Answer::Done(_)), .. }]));
}

#[test]
fn a_window_is_never_overrun_and_opens_again() {
    let (mut host, mut agent) = session(5);
    let stream = host.open(&exec()).unwrap();
    let data = vec![1; 600_000];
    let window = usize::try_from(WINDOW).unwrap();
    assert_eq!(host.send_data(stream, Channel::Content, &data).unwrap(), window);
    assert_eq!(host.send_data(stream, Channel::Content, &data).unwrap(), 0);
    carry(&mut host, &mut agent);
    agent.consume(stream, Channel::Content, 100_000);
    carry(&mut host, &mut agent);
    assert_eq!(host.send_data(stream, Channel::Content, &data).unwrap(), 100_000);
}

#[test]
fn a_sender_that_breaks_its_window_loses_the_stream_only() {
    let (mut host, mut agent) = session(5);
    let (first, second) = (host.open(&exec()).unwrap(), host.open(&exec()).unwrap());
    carry(&mut host, &mut agent);
    agent_events(&mut agent);
    let header = data_header(first, 65_536);
    for _ in 0..5 {
        agent.receive(&header.bytes());
        agent.receive(&vec![0; 65_536]);
    }
    let heard = agent_events(&mut agent);
    assert!(matches!(heard.last(), Some(AgentEvent::Reset { stream, .. }) if *stream == first), "{heard:?}");
    carry(&mut host, &mut agent);
    assert!(matches!(host_events(&mut host).as_slice(), [HostEvent::Reset { .. }]));
    assert!(host.send_data(first, Channel::Content, b"x").is_err());
    assert_eq!(host.send_data(second, Channel::Content, b"x"), Ok(1));
}

fn data_header(stream: StreamId, len: usize) -> Header {
    Header { kind: Kind::Data, channel: Channel::Content, flags: 0, stream, len }
}

#[test]
fn a_lying_agent_is_an_error() {
    let (mut host, mut agent) = session(5);
    let stream = host.open(&exec()).unwrap();
    let never = host.open(&exec()).unwrap();
    carry(&mut host, &mut agent);
    let (mut fresh, _) = session(6);
    fresh.open(&exec()).unwrap();
    assert!(fresh.receive(&data_header(stream, 0).bytes()).is_ok(), "an open stream: reset, not an error");
    assert!(fresh.receive(&data_header(never, 0).bytes()).is_err(), "a stream that never was");
    assert!(host.receive(&[0x7f; 40]).is_err(), "no frame");
}

#[test]
fn an_unknown_request_is_unsupported_and_a_broken_one_invalid() {
    for (body, code) in [(vec![0x82, 0x19, 0x03, 0xe7, 0xa0], 8), (vec![0x82, 0x11, 0xa0], 7), (vec![0xff], 7)] {
        let (mut host, mut agent) = session(5);
        host.open(&exec()).unwrap();
        carry(&mut host, &mut agent);
        let stream = host.open(&exec()).unwrap();
        drain_host(&mut host);
        let header = Header { kind: Kind::Message, len: body.len(), ..data_header(stream, 0) };
        agent.receive(&[header.bytes().to_vec(), body].concat());
        carry(&mut host, &mut agent);
        let heard = host_events(&mut host);
        let [HostEvent::Answer { answer: Decoded::Known(Answer::Failed(failed)), .. }] = heard.as_slice() else {
            panic!("{heard:?}");
        };
        assert_eq!(failed.code.number(), code);
    }
}

#[test]
fn streams_are_bounded_on_both_ends() {
    let (mut host, mut agent) = session(5);
    for _ in 0..machine_agent_protocol::MAX_STREAMS {
        host.open(&exec()).unwrap();
        carry(&mut host, &mut agent);
    }
    assert!(host.open(&exec()).is_err());
}
