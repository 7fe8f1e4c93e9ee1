//! What the guest finds in the packets it is sent.

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr, IpAddress,
    Ipv4Packet, Ipv4Repr, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};

use crate::packet::samples::{GUEST6, MAC, at, framed, guest, taken, taken_ip, tcp, udp as sent};
use crate::packet::{
    Dropped, Echo, Outbox, Packet, Reason, Tcp, echo_reply, provoke, read, reset, udp, unreachable, unreachable_flow,
};

const ALL: fn() -> ChecksumCapabilities = ChecksumCapabilities::default;

/// The segment of the one packet that waits, with all its checksums looked at.
fn segment(outbox: &mut Outbox) -> (IpAddress, IpAddress, TcpControl, i32, Option<i32>) {
    let packet = taken_ip(outbox);
    let (from, to, payload) = if packet[0] >> 4 == 4 {
        let packet = Ipv4Packet::new_checked(packet.as_slice()).unwrap();
        assert!(packet.verify_checksum());
        (IpAddress::from(packet.src_addr()), IpAddress::from(packet.dst_addr()), packet.payload().to_vec())
    } else {
        let packet = Ipv6Packet::new_checked(packet.as_slice()).unwrap();
        (IpAddress::from(packet.src_addr()), IpAddress::from(packet.dst_addr()), packet.payload().to_vec())
    };
    let segment = TcpPacket::new_checked(payload.as_slice()).unwrap();
    let repr = TcpRepr::parse(&segment, &from, &to, &ALL()).unwrap();
    assert_eq!(repr.payload, b"");
    (from, to, repr.control, repr.seq_number.0, repr.ack_number.map(|number| number.0))
}

fn with_segment(packet: &[u8], act: impl FnOnce(&Tcp<'_>)) {
    let kind = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    let frame = framed(smoltcp::wire::EthernetProtocol::from(kind), packet);
    let Ok(Packet::Tcp(segment)) = read(&frame, &guest()) else { panic!("{frame:x?}") };
    act(&segment);
}

#[test]
fn what_nobody_knows_is_reset_as_the_standard_says() {
    let guest6 = format!("[{GUEST6}]:9");
    for (from, to) in [("10.0.2.15:9", "192.0.2.1:80"), (guest6.as_str(), "[2001:db8::1]:80")] {
        for (control, acknowledges, expected) in [
            (TcpControl::Syn, None, (0, Some(1000 + 1 + 2))),
            (TcpControl::Fin, None, (0, Some(1000 + 1 + 2))),
            (TcpControl::None, Some(77), (77, None)),
            (TcpControl::Syn, Some(77), (77, None)),
            (TcpControl::None, Some(-1), (-1, None)),
        ] {
            let mut outbox = Outbox::new(MAC);
            with_segment(&tcp(from, to, control, acknowledges, b"ab"), |read| reset(&mut outbox, read).unwrap());
            let (source, destination, control, sequence, acknowledges) = segment(&mut outbox);
            assert_eq!((source, destination), (at(to).ip().into(), at(from).ip().into()));
            assert_eq!((control, (sequence, acknowledges)), (TcpControl::Rst, expected));
        }
        let mut outbox = Outbox::new(MAC);
        with_segment(&tcp(from, to, TcpControl::Rst, Some(7), b""), |read| reset(&mut outbox, read).unwrap());
        assert!(outbox.is_empty(), "a RST is never answered");
    }
}

#[test]
fn a_provoking_segment_comes_from_the_other_end() {
    let mut outbox = Outbox::new(MAC);
    provoke(&mut outbox, at("10.0.2.15:9"), at("192.0.2.1:80")).unwrap();
    let (source, destination, control, _, acknowledges) = segment(&mut outbox);
    assert_eq!((source, destination), (at("192.0.2.1:80").ip().into(), at("10.0.2.15:9").ip().into()));
    assert_eq!((control, acknowledges), (TcpControl::Syn, None));
    assert_eq!(provoke(&mut outbox, at("10.0.2.15:9"), at("[2001:db8::1]:80")), Err(Dropped::Malformed));
}

#[test]
fn a_datagram_arrives_whole_and_may_be_fragmented_behind_the_guest() {
    let mut outbox = Outbox::new(MAC);
    udp(&mut outbox, at("192.0.2.1:53"), at("10.0.2.15:4000"), b"answer").unwrap();
    let packet = taken_ip(&mut outbox);
    let packet = Ipv4Packet::new_checked(packet.as_slice()).unwrap();
    assert!(!packet.dont_frag() && !packet.more_frags() && packet.verify_checksum());
    let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    assert_eq!(UdpRepr::parse(&datagram, &from, &to, &ALL()), Ok(UdpRepr { src_port: 53, dst_port: 4000 }));
    assert_eq!(datagram.payload(), b"answer");
}

#[test]
fn a_datagram_larger_than_the_link_comes_in_two_parts() {
    let mut outbox = Outbox::new(MAC);
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(65_507).collect();
    udp(&mut outbox, at("192.0.2.1:53"), at("10.0.2.15:4000"), &payload).unwrap();
    let mut whole = Vec::new();
    let frames = taken(&mut outbox);
    for frame in &frames {
        let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        assert!(packet.verify_checksum() && packet.total_len() <= 65_520);
        assert_eq!(usize::from(packet.frag_offset()), whole.len());
        whole.extend_from_slice(packet.payload());
        assert_eq!(packet.more_frags(), whole.len() < 65_515);
    }
    assert_eq!((frames.len(), &whole[8..]), (2, payload.as_slice()));
    let datagram = UdpPacket::new_checked(whole.as_slice()).unwrap();
    assert!(datagram.verify_checksum(&at("192.0.2.1:53").ip().into(), &at("10.0.2.15:1").ip().into()));
    assert_eq!(udp(&mut outbox, at("192.0.2.1:53"), at("10.0.2.15:4000"), &[0; 65_508]), Err(Dropped::Oversized));
    let from6 = at("[2001:db8::1]:53");
    assert_eq!(udp(&mut outbox, from6, at(&format!("[{GUEST6}]:4000")), &payload), Err(Dropped::Oversized));
    assert!(outbox.is_empty());
}

#[test]
fn what_did_not_get_there_is_quoted() {
    for (reason, code, teller) in [
        (Reason::Port, Icmpv4DstUnreachable::PortUnreachable, "192.0.2.1"),
        (Reason::Prohibited, Icmpv4DstUnreachable::CommProhibited, "10.0.2.2"),
        (Reason::Host, Icmpv4DstUnreachable::HostUnreachable, "10.0.2.2"),
    ] {
        let mut outbox = Outbox::new(MAC);
        let packet = sent("10.0.2.15:4000", "192.0.2.1:53", &[9; 2000]);
        unreachable(&mut outbox, &packet, reason).unwrap();
        unreachable_flow(&mut outbox, at("10.0.2.15:4000"), at("192.0.2.1:53"), reason).unwrap();
        for frame in taken(&mut outbox) {
            let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
            assert_eq!(Ipv4Repr::parse(&packet, &ALL()).unwrap().src_addr.to_string(), teller);
            assert!(packet.total_len() <= 576);
            let message = Icmpv4Packet::new_checked(packet.payload()).unwrap();
            let Ok(Icmpv4Repr::DstUnreachable { reason, header, data }) = Icmpv4Repr::parse(&message, &ALL()) else {
                panic!("{frame:x?}")
            };
            assert_eq!((reason, header.dst_addr.to_string()), (code, "192.0.2.1".to_owned()));
            assert_eq!(data[..4], [0x0f, 0xa0, 0, 53]);
        }
    }
}

#[test]
fn what_did_not_get_there_in_ipv6_is_quoted() {
    let mut outbox = Outbox::new(MAC);
    let guest6 = format!("[{GUEST6}]:4000");
    unreachable(&mut outbox, &sent(&guest6, "[2001:db8::1]:53", &[9; 2000]), Reason::Prohibited).unwrap();
    let packet = taken_ip(&mut outbox);
    let packet = Ipv6Packet::new_checked(packet.as_slice()).unwrap();
    let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
    let parsed = Icmpv6Repr::parse(&packet.src_addr(), &packet.dst_addr(), &message, &ALL()).unwrap();
    let Icmpv6Repr::DstUnreachable { reason, header, data } = parsed else { panic!("{parsed:?}") };
    assert_eq!((reason, header.dst_addr.to_string()), (Icmpv6DstUnreachable::AdminProhibit, "2001:db8::1".to_owned()));
    assert_eq!(data[..4], [0x0f, 0xa0, 0, 53]);
}

#[test]
fn an_echo_comes_back_under_its_own_number() {
    let (source, destination): (IpAddr, IpAddr) = (GUEST6.into(), "2001:db8::1".parse().unwrap());
    let mut outbox = Outbox::new(MAC);
    let echo = Echo { source, destination, identifier: 3, sequence: 4, data: b"data", ip: &[] };
    echo_reply(&mut outbox, &echo).unwrap();
    let packet = taken_ip(&mut outbox);
    let packet = Ipv6Packet::new_checked(packet.as_slice()).unwrap();
    let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
    let parsed = Icmpv6Repr::parse(&packet.src_addr(), &packet.dst_addr(), &message, &ALL());
    assert_eq!(parsed, Ok(Icmpv6Repr::EchoReply { ident: 3, seq_no: 4, data: b"data" }));
}
