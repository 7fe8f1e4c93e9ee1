//! What the neighbour is answered.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use machine_core::network::{GATEWAY, GUEST, RESOLVER};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, DHCP_CLIENT_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetFrame, EthernetProtocol,
    Icmpv6Packet, Icmpv6Repr, Ipv4Packet, Ipv6Packet, NdiscRepr, UdpPacket,
};

use super::{ADVERTISED, Neighbours};
use crate::packet::samples::{GUEST_LINK, MAC, dhcp as request, guest, taken, taken_ip};
use crate::packet::{Dropped, Echo, GATEWAY_LINK, GATEWAY_MAC, GATEWAY6, Guest, Ipv6, Local, Outbox, PREFIX6};

fn neighbours() -> Neighbours {
    Neighbours::new(guest(), Some("web".to_owned()))
}

fn answers(local: &Local<'_>) -> Result<Vec<Vec<u8>>, Dropped> {
    let mut outbox = Outbox::new(MAC);
    neighbours().answer(local, &mut outbox).map(|()| taken(&mut outbox))
}

#[test]
fn only_gateway_and_resolver_are_here() {
    for asked in [GATEWAY, RESOLVER] {
        for asker in [GUEST, Ipv4Addr::UNSPECIFIED] {
            let frames = answers(&Local::WhoHas { asked, asker }).unwrap();
            let frame = EthernetFrame::new_checked(frames[0].as_slice()).unwrap();
            assert_eq!((frame.src_addr(), frame.dst_addr()), (GATEWAY_MAC, MAC));
            let packet = ArpPacket::new_checked(frame.payload()).unwrap();
            let Ok(ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. }) = ArpRepr::parse(&packet)
            else {
                panic!("{frame}")
            };
            assert_eq!((source_hardware_addr, source_protocol_addr), (GATEWAY_MAC, asked));
        }
    }
    // The guest's own: it looks whether it is free, or tells that it has it.
    for asked in [GUEST, Ipv4Addr::new(10, 0, 2, 4), Ipv4Addr::new(192, 168, 0, 1)] {
        assert_eq!(answers(&Local::WhoHas { asked, asker: GUEST }), Err(Dropped::Unanswered));
    }
}

/// The ICMP messages of IPv6 that wait, with the addresses of their packets and cards.
fn heard(outbox: &mut Outbox, check: impl Fn(Ipv6Addr, Ipv6Addr, [u8; 6], NdiscRepr<'_>)) -> usize {
    let frames = taken(outbox);
    for frame in &frames {
        let frame = EthernetFrame::new_checked(frame.as_slice()).unwrap();
        assert_eq!(frame.ethertype(), EthernetProtocol::Ipv6);
        let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
        assert_eq!(packet.hop_limit(), 255);
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        match Icmpv6Repr::parse(&from, &to, &message, &ChecksumCapabilities::default()) {
            Ok(Icmpv6Repr::Ndisc(said)) => check(from, to, frame.dst_addr().0, said),
            other => panic!("{other:?}"),
        }
    }
    frames.len()
}

#[test]
fn the_gateway_is_found_by_its_ipv6_neighbour() {
    for asked in [GATEWAY_LINK, GATEWAY6] {
        let mut outbox = Outbox::new(MAC);
        neighbours().answer(&Local::Solicited { asked, asker: GUEST_LINK }, &mut outbox).unwrap();
        let count = heard(&mut outbox, |from, to, card, said| {
            assert_eq!((from, to, card), (asked, GUEST_LINK, MAC.0));
            let NdiscRepr::NeighborAdvert { target_addr, lladdr: Some(card), .. } = said else { panic!("{said:?}") };
            assert_eq!((target_addr, card.as_bytes()), (asked, GATEWAY_MAC.as_bytes()));
        });
        assert_eq!(count, 1);
    }
    assert_eq!(answers(&Local::Solicited { asked: GUEST_LINK, asker: GUEST_LINK }), Err(Dropped::Unanswered));
}

#[test]
fn the_router_is_told_of_when_attached_asked_and_from_time_to_time() {
    let (mut neighbours, mut outbox, now) = (neighbours(), Outbox::new(MAC), Instant::now());
    assert_eq!(neighbours.next_deadline(), None);
    neighbours.attached(now, &mut outbox).unwrap();
    let due = neighbours.next_deadline().unwrap();
    neighbours.tick(now, &mut outbox).unwrap();
    neighbours.tick(due, &mut outbox).unwrap();
    assert_eq!(neighbours.next_deadline(), Some(due + ADVERTISED));
    let count = heard(&mut outbox, |from, to, card, said| {
        assert_eq!((from, to.to_string(), card), (GATEWAY_LINK, "ff02::1".to_owned(), [0x33, 0x33, 0, 0, 0, 1]));
        let NdiscRepr::RouterAdvert { router_lifetime, mtu, prefix_info: Some(prefix), .. } = said else {
            panic!("{said:?}")
        };
        assert_eq!((router_lifetime.secs(), mtu, prefix.prefix), (65_535, Some(65_520), PREFIX6));
        assert!(prefix.is_valid_prefix_info());
    });
    assert_eq!(count, 2);
    neighbours.answer(&Local::RouterSolicited { asker: GUEST_LINK }, &mut outbox).unwrap();
    assert_eq!(heard(&mut outbox, |_, to, _, _| assert_eq!(to, GUEST_LINK)), 1);
}

#[test]
fn a_host_that_loses_ipv6_takes_the_router_away() {
    let off = Guest { ipv6: Ipv6::Off, ..guest() };
    let (mut neighbours, mut outbox, now) = (Neighbours::new(off, None), Outbox::new(MAC), Instant::now());
    neighbours.attached(now, &mut outbox).unwrap();
    assert!(outbox.is_empty() && neighbours.next_deadline().is_none());
    neighbours.set_ipv6(now, Ipv6::On, &mut outbox).unwrap();
    neighbours.set_ipv6(now, Ipv6::On, &mut outbox).unwrap();
    assert_eq!((taken(&mut outbox).len(), neighbours.next_deadline()), (1, Some(now + ADVERTISED)));
    neighbours.set_ipv6(now, Ipv6::Off, &mut outbox).unwrap();
    heard(&mut outbox, |_, _, _, said| {
        let NdiscRepr::RouterAdvert { router_lifetime, prefix_info: Some(prefix), .. } = said else {
            panic!("{said:?}")
        };
        assert_eq!((router_lifetime.secs(), prefix.preferred_lifetime.secs()), (0, 0));
    });
    assert_eq!(neighbours.next_deadline(), None);
}

#[test]
fn an_echo_is_answered() {
    let echo =
        Echo { source: GUEST.into(), destination: RESOLVER.into(), identifier: 1, sequence: 2, data: b"x", ip: &[] };
    let mut outbox = Outbox::new(MAC);
    neighbours().answer(&Local::Echo(echo), &mut outbox).unwrap();
    let packet = taken_ip(&mut outbox);
    let packet = Ipv4Packet::new_checked(packet.as_slice()).unwrap();
    assert_eq!((packet.src_addr(), packet.dst_addr(), packet.payload()[0]), (RESOLVER, GUEST, 0));
}

/// What the client is answered: the kind, the address, to where, and the options by number.
type Answered = (DhcpMessageType, Ipv4Addr, Ipv4Addr, Vec<(u8, Vec<u8>)>);

fn answered(message: &[u8]) -> Result<Answered, Dropped> {
    let frames = answers(&Local::Dhcp(message))?;
    let packet = Ipv4Packet::new_checked(&frames[0][14..]).unwrap();
    let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
    assert_eq!((packet.src_addr(), datagram.src_port(), datagram.dst_port()), (GATEWAY, 67, DHCP_CLIENT_PORT));
    let reply = DhcpPacket::new_checked(datagram.payload()).unwrap();
    assert_eq!((reply.transaction_id(), datagram.payload().len()), (77, 300));
    let options = reply.options().map(|option| (option.kind, option.data.to_vec())).collect();
    let read = DhcpRepr::parse(&reply).unwrap();
    Ok((read.message_type, read.your_ip, packet.dst_addr(), options))
}

#[test]
fn a_client_gets_the_one_address_and_all_there_is_to_know() {
    let offer = answered(&request(DhcpMessageType::Discover, |_| ())).unwrap();
    let chosen = request(DhcpMessageType::Request, |message| {
        (message.requested_ip, message.server_identifier) = (Some(GUEST), Some(GATEWAY));
    });
    let lease = answered(&chosen).unwrap();
    assert_eq!((offer.0, lease.0), (DhcpMessageType::Offer, DhcpMessageType::Ack));
    for (_, address, to, options) in [offer, lease] {
        assert_eq!((address, to), (GUEST, GUEST));
        for (kind, data) in [
            (1, [255, 255, 255, 0].as_slice()),
            (3, &[10, 0, 2, 2]),
            (6, &[10, 0, 2, 3]),
            (12, b"web"),
            (26, &[0xff, 0xf0]),
            (51, &[0xff; 4]),
            (54, &[10, 0, 2, 2]),
            (61, b"\xffsome client"),
        ] {
            assert!(options.iter().any(|(k, d)| (*k, d.as_slice()) == (kind, data)), "{kind}: {options:?}");
        }
    }
}

#[test]
fn a_client_that_has_the_address_keeps_it() {
    let renewed = request(DhcpMessageType::Request, |message| message.client_ip = GUEST);
    assert_eq!(answered(&renewed).unwrap().0, DhcpMessageType::Ack);
    let informed = answered(&request(DhcpMessageType::Inform, |message| message.client_ip = GUEST)).unwrap();
    assert_eq!((informed.0, informed.1), (DhcpMessageType::Ack, Ipv4Addr::UNSPECIFIED));
    assert!(informed.3.iter().all(|(kind, _)| *kind != 51));
    let loud = request(DhcpMessageType::Discover, |message| message.broadcast = true);
    assert_eq!(answered(&loud).unwrap().2, Ipv4Addr::BROADCAST);
}

#[test]
fn a_client_that_wants_another_address_is_refused() {
    let other = Ipv4Addr::new(192, 168, 1, 7);
    for message in [
        request(DhcpMessageType::Request, |message| message.requested_ip = Some(other)),
        request(DhcpMessageType::Request, |message| message.client_ip = other),
    ] {
        let (kind, address, to, options) = answered(&message).unwrap();
        assert_eq!((kind, address, to), (DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
        assert!(options.iter().all(|(kind, _)| [53, 54, 61].contains(kind)), "{options:?}");
    }
}

#[test]
fn who_asks_something_else_or_another_server_is_not_answered() {
    let elsewhere = request(DhcpMessageType::Request, |message| {
        (message.requested_ip, message.server_identifier) = (Some(GUEST), Some(RESOLVER));
    });
    let release = request(DhcpMessageType::Release, |message| message.client_ip = GUEST);
    let stranger = request(DhcpMessageType::Discover, |message| message.client_hardware_address = GATEWAY_MAC);
    assert_eq!(answered(&elsewhere), Err(Dropped::Unanswered));
    assert_eq!(answered(&release), Err(Dropped::Unanswered));
    assert_eq!(answered(&stranger), Err(Dropped::SpoofedCard));
    assert_eq!(answered(&request(DhcpMessageType::Request, |_| ())), Err(Dropped::Malformed));
    assert_eq!(answered(&[0; 100]), Err(Dropped::Truncated));
}
