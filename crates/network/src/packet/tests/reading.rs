//! Which frames are read, and why others are not.

use std::net::{Ipv4Addr, Ipv6Addr};

use machine_core::network::{GATEWAY, GUEST, RESOLVER};
use smoltcp::wire::{
    ArpOperation, EthernetAddress, EthernetProtocol, Icmpv4DstUnreachable, Icmpv4Repr, Icmpv6Repr, IpProtocol,
    Ipv4Repr, NdiscRepr, TcpControl,
};

use crate::packet::samples::{
    GUEST_LINK, GUEST6, MAC, arp, at, discover, each_kind, framed, framed_to, guest, icmpv4, icmpv6, ip, ipv4, ipv6,
    tcp, udp, with_options,
};
use crate::packet::{Dropped, GATEWAY_LINK, GATEWAY6, Guest, Ipv6, Local, Packet, Refused, Segment, read};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

fn refuses(frame: &[u8], reason: Dropped) {
    assert_eq!(read(frame, &guest()).map(|packet| format!("{packet:?}")), Err(reason), "{frame:x?}");
}

fn refuses_ipv4(packet: &[u8], reason: Dropped) {
    refuses(&framed(EthernetProtocol::Ipv4, packet), reason);
}

fn refuses_ipv6(packet: &[u8], reason: Dropped) {
    refuses(&framed(EthernetProtocol::Ipv6, packet), reason);
}

#[test]
fn each_kind_is_read_and_what_fills_up_a_frame_is_ignored() {
    for frame in each_kind() {
        let kind = |frame: &[u8]| format!("{:?}", read(frame, &guest()).unwrap());
        let filled_up = [frame.as_slice(), &[0; 40]].concat();
        assert_eq!(kind(&frame), kind(&filled_up));
    }
}

#[test]
fn a_datagram_is_read_whole() {
    let packet = udp("10.0.2.15:4000", "192.0.2.1:53", b"question");
    for (packet, header) in [(packet.clone(), 28), (with_options(&packet, &[7, 3, 4, 0]), 32)] {
        let frame = framed(EthernetProtocol::Ipv4, &packet);
        let Ok(Packet::Udp(read)) = read(&frame, &guest()) else { panic!("{frame:x?}") };
        assert_eq!((read.source, read.destination), (at("10.0.2.15:4000"), at("192.0.2.1:53")));
        assert_eq!((read.payload, read.ip.len()), (b"question".as_slice(), header + 8));
    }
}

#[test]
fn a_segment_says_what_it_is_for() {
    for (control, acknowledges, kind, length) in [
        (TcpControl::Syn, None, Segment::Opens, 3),
        (TcpControl::Syn, Some(7), Segment::Answers, 3),
        (TcpControl::Rst, Some(7), Segment::Resets, 2),
        (TcpControl::Fin, Some(7), Segment::Carries, 3),
        (TcpControl::None, Some(7), Segment::Carries, 2),
    ] {
        for (from, to, ethernet) in [
            ("10.0.2.15:9".to_owned(), "192.0.2.1:80", EthernetProtocol::Ipv4),
            (format!("[{GUEST6}]:9"), "[2001:db8::1]:80", EthernetProtocol::Ipv6),
        ] {
            let frame = framed(ethernet, &tcp(&from, to, control, acknowledges, b"ab"));
            let Ok(Packet::Tcp(read)) = read(&frame, &guest()) else { panic!("{frame:x?}") };
            assert_eq!((read.kind, read.length, read.sequence.0), (kind, length, 1000));
            assert_eq!(read.acknowledges.map(|number| number.0), acknowledges);
            assert_eq!((read.source, read.destination), (at(&from), at(to)));
        }
    }
}

#[test]
fn who_is_not_the_guest_is_not_heard() {
    for mut frame in each_kind() {
        frame[11] ^= 1;
        refuses(&frame, Dropped::SpoofedCard);
    }
    let spoofed = [Ipv4Addr::new(10, 0, 2, 16), GATEWAY, Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED, OUTSIDE];
    for source in spoofed {
        refuses_ipv4(
            &ipv4((source, OUTSIDE), IpProtocol::Udp, &[0, 9, 0, 9, 0, 8, 0, 0], |_| ()),
            Dropped::SpoofedAddress,
        );
    }
    let other = Ipv6Addr::new(0xfd6d, 0x6163, 0x68ee, 1, 0, 0, 0, 1);
    for source in [other, GATEWAY6, GATEWAY_LINK, GUEST_LINK, OUTSIDE6, Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST] {
        refuses_ipv6(
            &ipv6((source, OUTSIDE6), IpProtocol::Udp, 64, &[0, 9, 0, 9, 0, 8, 0, 0]),
            Dropped::SpoofedAddress,
        );
    }
    for asker in [GATEWAY, RESOLVER, OUTSIDE] {
        refuses(&framed(EthernetProtocol::Arp, &arp(ArpOperation::Request, asker, GATEWAY)), Dropped::SpoofedAddress);
    }
    let mut other_card = arp(ArpOperation::Request, GUEST, GATEWAY);
    other_card[13] ^= 1;
    refuses(&framed(EthernetProtocol::Arp, &other_card), Dropped::SpoofedCard);
}

#[test]
fn what_is_for_others_or_for_all_is_not_taken() {
    let packet = udp("10.0.2.15:4000", "192.0.2.1:53", b"question");
    refuses(&framed_to(MAC, EthernetProtocol::Ipv4, &packet), Dropped::OtherCard);
    refuses(&framed_to(EthernetAddress::BROADCAST, EthernetProtocol::Ipv4, &packet), Dropped::Destination);
    for destination in ["224.0.0.251", "255.255.255.255", "10.0.2.255", "0.0.0.0", "0.1.2.3", "240.0.0.1", "10.0.2.15"]
    {
        let packet = udp("10.0.2.15:5353", &format!("{destination}:5353"), b"");
        refuses_ipv4(&packet, Dropped::Destination);
        refuses(&framed_to(EthernetAddress::BROADCAST, EthernetProtocol::Ipv4, &packet), Dropped::Destination);
    }
    for destination in ["ff02::fb", "::", &GUEST6.to_string()] {
        refuses_ipv6(&udp(&format!("[{GUEST6}]:5353"), &format!("[{destination}]:5353"), b""), Dropped::Destination);
    }
}

#[test]
fn other_types_and_protocols_are_dropped() {
    for kind in [0x8100, 0x88a8, 0x88cc, 40] {
        refuses(&framed(EthernetProtocol::from(kind), &[0; 64]), Dropped::EtherType);
    }
    for protocol in [IpProtocol::Igmp, IpProtocol::Icmpv6, IpProtocol::Unknown(132)] {
        refuses_ipv4(&ipv4((GUEST, OUTSIDE), protocol, &[0; 40], |_| ()), Dropped::Protocol);
    }
    for protocol in [IpProtocol::Icmp, IpProtocol::Ipv6NoNxt, IpProtocol::IpSecAh] {
        refuses_ipv6(&ipv6((GUEST6, OUTSIDE6), protocol, 64, &[0; 40]), Dropped::Protocol);
    }
}

#[test]
fn every_beginning_of_a_frame_is_too_short() {
    for frame in each_kind() {
        for length in 0..frame.len() {
            assert!(read(&frame[..length], &guest()).is_err(), "{:x?}", &frame[..length]);
        }
    }
    refuses(&vec![0; 14 + 65_521], Dropped::Oversized);
}

#[test]
fn a_header_that_contradicts_itself_is_malformed() {
    let packet = udp("10.0.2.15:4000", "192.0.2.1:53", b"question");
    let changed = |place: usize, byte: u8| {
        let mut packet = packet.clone();
        packet[place] = byte;
        packet
    };
    refuses_ipv4(&changed(0, 0x65), Dropped::Malformed);
    refuses_ipv4(&changed(0, 0x44), Dropped::Malformed);
    refuses_ipv4(&changed(3, 19), Dropped::Malformed);
    refuses_ipv4(&changed(3, 200), Dropped::Truncated);
    refuses_ipv4(&changed(12, 11), Dropped::Checksum);
    refuses_ipv4(&changed(25, 7), Dropped::Malformed);
    refuses_ipv4(&changed(25, 200), Dropped::Malformed);
    refuses_ipv4(&udp("10.0.2.15:0", "192.0.2.1:53", b""), Dropped::Malformed);
    refuses_ipv4(&udp("10.0.2.15:53", "192.0.2.1:0", b""), Dropped::Malformed);
    refuses_ipv4(
        &ipv4((GUEST, OUTSIDE), IpProtocol::Udp, &packet[20..], |packet| packet.set_hop_limit(0)),
        Dropped::Expired,
    );
    refuses_ipv6(&ipv6((GUEST6, OUTSIDE6), IpProtocol::Udp, 0, &packet[20..]), Dropped::Expired);
    let mut both = tcp("10.0.2.15:1", "192.0.2.1:80", TcpControl::Syn, None, b"");
    both[33] |= 1;
    refuses_ipv4(&both, Dropped::Malformed);
}

#[test]
fn options_are_skipped_but_never_a_way_to_go() {
    let packet = udp("10.0.2.15:4000", "192.0.2.1:53", b"question");
    let way = [7, 4, 0, 0, 0];
    refuses_ipv4(&with_options(&packet, &[&[131], way.as_slice(), &[0, 0]].concat()), Dropped::SourceRoute);
    refuses_ipv4(&with_options(&packet, &[&[1, 1, 137], way.as_slice()].concat()), Dropped::SourceRoute);
    for malformed in [[7, 0, 0, 0], [7, 1, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
        refuses_ipv4(&with_options(&packet, &malformed), Dropped::Malformed);
    }
    // What is after the end of the options is none.
    assert!(read(&framed(EthernetProtocol::Ipv4, &with_options(&packet, &[0, 131, 7, 4])), &guest()).is_ok());
}

#[test]
fn extension_headers_are_walked_but_not_far() {
    let datagram = &udp(&format!("[{GUEST6}]:9"), "[2001:db8::1]:53", b"x")[40..];
    let walked = |kinds: &[u8], last: [u8; 2]| {
        let mut bytes = Vec::new();
        for (index, _) in kinds.iter().enumerate() {
            let next = kinds.get(index + 1).copied().unwrap_or(17);
            bytes.extend_from_slice(&[next, 0, last[0], last[1], 0, 0, 0, 0]);
        }
        let first = kinds.first().copied().unwrap_or(17);
        ipv6((GUEST6, OUTSIDE6), IpProtocol::from(first), 64, &[bytes.as_slice(), datagram].concat())
    };
    let read =
        |packet: &[u8]| read(&framed(EthernetProtocol::Ipv6, packet), &guest()).map(|packet| format!("{packet:?}"));
    assert!(read(&walked(&[0, 60, 43], [1, 0])).unwrap().starts_with("Udp"));
    assert!(read(&walked(&[60; 8], [1, 0])).unwrap().starts_with("Udp"));
    assert_eq!(read(&walked(&[60; 9], [1, 0])), Err(Dropped::Extensions));
    assert_eq!(read(&walked(&[43], [0, 1])), Err(Dropped::SourceRoute));
    assert_eq!(
        read(&ipv6((GUEST6, OUTSIDE6), IpProtocol::HopByHop, 64, &[17, 1, 0, 0, 0, 0, 0, 0])),
        Err(Dropped::Truncated)
    );
}

#[test]
fn without_ipv6_nothing_of_it_is_read() {
    let without = Guest { ipv6: Ipv6::Off, ..guest() };
    let packet = udp(&format!("[{GUEST6}]:9"), "[2001:db8::1]:53", b"x");
    let frame = framed(EthernetProtocol::Ipv6, &packet);
    assert_eq!(read(&frame, &without).map(|_| ()), Err(Dropped::Ipv6Off));
}

#[test]
fn dhcp_alone_is_for_all_and_from_nobody() {
    let frame = discover();
    let Ok(Packet::Local(Local::Dhcp(message))) = read(&frame, &guest()) else { panic!("{frame:x?}") };
    assert_eq!(message, &frame[42..]);
    // The same in two parts, or from another port, is not.
    let mut part = frame[14..].to_vec();
    part[6] = 0x20;
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut part).fill_checksum();
    refuses_ipv4(&part, Dropped::SpoofedAddress);
    let mut other = frame[14..].to_vec();
    other[21] = 69;
    refuses_ipv4(&other, Dropped::SpoofedAddress);
    refuses_ipv4(&udp("10.0.2.15:69", "255.255.255.255:67", b""), Dropped::Destination);
}

#[test]
fn neighbours_are_asked_by_neighbours_only() {
    let who =
        framed_to(EthernetAddress::BROADCAST, EthernetProtocol::Arp, &arp(ArpOperation::Request, GUEST, RESOLVER));
    assert!(matches!(read(&who, &guest()), Ok(Packet::Local(Local::WhoHas { asked: RESOLVER, asker: GUEST }))));
    refuses(&framed(EthernetProtocol::Arp, &arp(ArpOperation::Reply, GUEST, GUEST)), Dropped::Unanswered);
    let solicit = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: GATEWAY6, lladdr: None });
    let group = "ff02::1:ff00:2".parse().unwrap();
    for source in [GUEST6, GUEST_LINK, Ipv6Addr::UNSPECIFIED] {
        let frame = framed_to(
            EthernetAddress([0x33, 0x33, 0xff, 0, 0, 2]),
            EthernetProtocol::Ipv6,
            &icmpv6((source, group), 255, &solicit),
        );
        let Ok(Packet::Local(Local::Solicited { asked, asker })) = read(&frame, &guest()) else { panic!("{source}") };
        assert_eq!((asked, asker), (GATEWAY6, source));
        refuses_ipv6(&icmpv6((source, group), 254, &solicit), Dropped::Unanswered);
    }
    let advert = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: smoltcp::wire::NdiscRouterFlags::empty(),
        router_lifetime: smoltcp::time::Duration::ZERO,
        reachable_time: smoltcp::time::Duration::ZERO,
        retrans_time: smoltcp::time::Duration::ZERO,
        lladdr: None,
        mtu: None,
        prefix_info: None,
    });
    refuses_ipv6(&icmpv6((GUEST_LINK, group), 255, &advert), Dropped::Unanswered);
}

#[test]
fn echo_requests_to_us_are_told_from_others() {
    let echo = Icmpv4Repr::EchoRequest { ident: 3, seq_no: 4, data: b"x" };
    for (to, local) in [(GATEWAY, true), (RESOLVER, true), (OUTSIDE, false)] {
        let frame = framed(EthernetProtocol::Ipv4, &icmpv4(to, &echo));
        let read = read(&frame, &guest()).unwrap();
        assert_eq!(matches!(read, Packet::Local(Local::Echo(_))), local, "{to}");
        assert_eq!(matches!(read, Packet::Echo(_)), !local, "{to}");
    }
    let mut wrong = icmpv4(OUTSIDE, &echo);
    wrong[28] ^= 1;
    refuses_ipv4(&wrong, Dropped::Checksum);
    let reply = Icmpv4Repr::EchoReply { ident: 3, seq_no: 4, data: b"x" };
    refuses_ipv4(&icmpv4(OUTSIDE, &reply), Dropped::Unanswered);
    let echo = Icmpv6Repr::EchoRequest { ident: 3, seq_no: 4, data: b"x" };
    refuses_ipv6(&icmpv6((GUEST_LINK, OUTSIDE6), 64, &echo), Dropped::SpoofedAddress);
    refuses_ipv6(&icmpv6((GUEST6, "ff02::1".parse().unwrap()), 64, &echo), Dropped::Destination);
}

#[test]
fn a_refusal_of_the_guest_names_the_datagram() {
    // As Linux does: the quote is cut off long before the end of the datagram.
    let quoted =
        Ipv4Repr { src_addr: GATEWAY, dst_addr: GUEST, next_header: IpProtocol::Udp, payload_len: 8, hop_limit: 64 };
    let reason = Icmpv4DstUnreachable::PortUnreachable;
    let data = [0xc0, 0x00, 0x1f, 0x90, 0x10, 0x00, 0, 0];
    let message = Icmpv4Repr::DstUnreachable { reason, header: quoted, data: &data };
    let mut packet = icmpv4(GATEWAY, &message);
    packet[30..32].copy_from_slice(&4000_u16.to_be_bytes());
    let mut icmp = smoltcp::wire::Icmpv4Packet::new_unchecked(&mut packet[20..]);
    icmp.fill_checksum();
    let frame = framed(EthernetProtocol::Ipv4, &packet);
    let Ok(Packet::Refused(refused)) = read(&frame, &guest()) else { panic!("{frame:x?}") };
    assert_eq!(refused, Refused { source: at("10.0.2.2:49152"), destination: at("10.0.2.15:8080") });
    let other = Icmpv4DstUnreachable::HostUnreachable;
    let message = Icmpv4Repr::DstUnreachable { reason: other, header: quoted, data: &data };
    refuses_ipv4(&icmpv4(GATEWAY, &message), Dropped::Unanswered);
    refuses_ipv4(
        &ip(GUEST.into(), GATEWAY.into(), IpProtocol::Icmp, &[3, 3, 0xfc, 0xfc, 0, 0, 0, 0]),
        Dropped::Unanswered,
    );
}
