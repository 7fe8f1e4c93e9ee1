//! The guest's own flows.

use std::time::Duration;

use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Ipv4Packet};

use super::{Around, Found, heard, sent, somebody};
use crate::gateway::reactor::{Source, Token};
use crate::packet::samples::{at, taken_ip};
use crate::packet::{Dropped, Udp};
use crate::udp::UdpFlows;

const SECOND: Duration = Duration::from_secs(1);
const GUEST: &str = "10.0.2.15:4000";
const SHOWN: &str = "10.0.2.2:7000";

fn there(payload: &[u8]) -> Udp<'_> {
    sent(GUEST, SHOWN, payload)
}

#[test]
fn a_datagram_goes_there_and_its_answer_comes_back() {
    let (mut around, mut flows, (server, address)) = (Around::new(), UdpFlows::new(), somebody());
    assert_eq!(flows.find(&there(b"")), None);
    let key = flows.open(around.now, &there(b""), address, &around.reactor).unwrap();
    assert_eq!(flows.find(&there(b"")), Some(key));
    assert_eq!(flows.find(&sent("10.0.2.15:4001", SHOWN, b"")), None);
    for payload in [b"".as_slice(), b"question", &[7; 65_507]] {
        flows.send(around.now, key, payload, &mut around.outbox).unwrap();
        let (came, from) = heard(&server);
        assert_eq!(came, payload);
        server.send_to(&came, from).unwrap();
        assert_eq!(around.ready(), Token::new(Source::Udp, key));
        flows.ready(around.now, key, &mut around.outbox, &mut around.drops);
        assert_eq!(around.found(), [Found { from: at(SHOWN), to: at(GUEST), payload: came }]);
    }
    assert_eq!(around.drops.seen().count(), 0);
}

#[test]
fn nobody_else_is_heard_on_a_flow() {
    let (mut around, mut flows) = (Around::new(), UdpFlows::new());
    let ((server, address), (stranger, _)) = (somebody(), somebody());
    let key = flows.open(around.now, &there(b""), address, &around.reactor).unwrap();
    flows.send(around.now, key, b"question", &mut around.outbox).unwrap();
    let (_, from) = heard(&server);
    // The kernel may tell the stranger that nobody is there for it.
    let _ = stranger.send_to(b"forged", from);
    server.send_to(b"answer", from).unwrap();
    around.ready();
    flows.ready(around.now, key, &mut around.outbox, &mut around.drops);
    let payloads: Vec<_> = around.found().into_iter().map(|found| found.payload).collect();
    assert_eq!(payloads, [b"answer"]);
}

#[test]
fn a_port_where_nobody_listens_is_told_of() {
    let (mut around, mut flows, (server, address)) = (Around::new(), UdpFlows::new(), somebody());
    drop(server);
    let key = flows.open(around.now, &there(b""), address, &around.reactor).unwrap();
    // Once by the socket being ready, once by the next sending.
    flows.send(around.now, key, b"question", &mut around.outbox).unwrap();
    around.ready();
    flows.ready(around.now, key, &mut around.outbox, &mut around.drops);
    told(&mut around);
    flows.send(around.now, key, b"question", &mut around.outbox).unwrap();
    around.ready();
    flows.send(around.now, key, b"question", &mut around.outbox).unwrap();
    told(&mut around);
}

fn told(around: &mut Around) {
    let packet = taken_ip(&mut around.outbox);
    let packet = Ipv4Packet::new_checked(packet.as_slice()).unwrap();
    let message = Icmpv4Packet::new_checked(packet.payload()).unwrap();
    let Ok(Icmpv4Repr::DstUnreachable { reason, header, data }) = Icmpv4Repr::parse(&message, &Default::default())
    else {
        panic!("{message}")
    };
    assert_eq!(reason, Icmpv4DstUnreachable::PortUnreachable);
    assert_eq!((header.src_addr, header.dst_addr), ([10, 0, 2, 15].into(), [10, 0, 2, 2].into()));
    assert_eq!(data, [0x0f, 0xa0, 0x1b, 0x58, 0, 8, 0, 0]);
}

#[test]
fn a_flow_is_forgotten_when_nobody_uses_it() {
    let (mut around, mut flows, (server, address)) = (Around::new(), UdpFlows::new(), somebody());
    let start = around.now;
    let key = flows.open(start, &there(b""), address, &around.reactor).unwrap();
    flows.open(start, &sent(GUEST, "192.0.2.1:53", b""), address, &around.reactor).unwrap();
    flows.send(start, key, b"question", &mut around.outbox).unwrap();
    assert_eq!(flows.next_deadline(), Some(start + 10 * SECOND));
    flows.expire(start + 10 * SECOND);
    assert_eq!((flows.len(), flows.next_deadline()), (1, Some(start + 30 * SECOND)));
    let (_, from) = heard(&server);
    server.send_to(b"answer", from).unwrap();
    around.ready();
    flows.ready(start + 20 * SECOND, key, &mut around.outbox, &mut around.drops);
    flows.expire(start + 79 * SECOND);
    assert_eq!(flows.len(), 1);
    flows.expire(start + 80 * SECOND);
    assert_eq!((flows.len(), flows.next_deadline()), (0, None));
    assert_eq!(flows.send(start, key, b"late", &mut around.outbox), Err(Dropped::NoSocket));
}

#[test]
fn there_are_never_more_flows_than_a_thousand_and_some() {
    let (around, mut flows, (_server, address)) = (Around::new(), UdpFlows::new(), somebody());
    for port in 1..=1100_u16 {
        let now = around.now + Duration::from_millis(port.into());
        flows.open(now, &sent(&format!("10.0.2.15:{port}"), SHOWN, b""), address, &around.reactor).unwrap();
    }
    assert_eq!(flows.len(), 1024);
    assert_eq!(flows.find(&sent("10.0.2.15:76", SHOWN, b"")), None);
    assert!(flows.find(&sent("10.0.2.15:77", SHOWN, b"")).is_some());
}

#[test]
fn a_flow_that_is_no_longer_allowed_is_closed() {
    let (around, mut flows, (_server, address)) = (Around::new(), UdpFlows::new(), somebody());
    for shown in ["192.0.2.1:1", "192.0.2.2:1"] {
        flows.open(around.now, &sent(GUEST, shown, b""), address, &around.reactor).unwrap();
    }
    flows.retain(|flow| flow.dial == address && flow.shown == at("192.0.2.2:1"));
    assert_eq!(flows.find(&sent(GUEST, "192.0.2.1:1", b"")), None);
    assert!(flows.find(&sent(GUEST, "192.0.2.2:1", b"")).is_some());
}

#[test]
fn what_finds_no_room_on_the_link_is_dropped_and_counted() {
    let (mut around, mut flows, (server, address)) = (Around::new(), UdpFlows::new(), somebody());
    let key = flows.open(around.now, &there(b""), address, &around.reactor).unwrap();
    flows.send(around.now, key, b"question", &mut around.outbox).unwrap();
    let (_, from) = heard(&server);
    while around.outbox.has_room() {
        crate::packet::udp(&mut around.outbox, at(SHOWN), at(GUEST), &[0; 65_000]).unwrap();
    }
    server.send_to(&[1; 65_000], from).unwrap();
    around.ready();
    flows.ready(around.now, key, &mut around.outbox, &mut around.drops);
    assert_eq!(around.drops.of(Dropped::LinkFull), 1);
}
