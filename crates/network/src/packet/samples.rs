//! Frames as a guest sends them, and what it finds in those that it gets. For tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use machine_core::network::{GATEWAY, GUEST};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, IPV6_LINK_LOCAL_ALL_ROUTERS, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr,
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, NdiscRepr, RawHardwareAddress, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::{ETHERNET, GATEWAY_MAC, GATEWAY6, Guest, Ipv6, Outbox};

pub(crate) const MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
pub(crate) const GUEST6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x6163, 0x68ee, 0, 0x5054, 0xff, 0xfe12, 0x3456);
pub(crate) const GUEST_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe12, 0x3456);

pub(crate) fn guest() -> Guest {
    Guest { mac: MAC, ipv6: Ipv6::On }
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A frame from the guest's card to the gateway's.
pub(crate) fn framed(kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    framed_to(GATEWAY_MAC, kind, payload)
}

pub(crate) fn framed_to(to: EthernetAddress, kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ETHERNET + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(MAC);
    frame.set_dst_addr(to);
    frame.set_ethertype(kind);
    frame.payload_mut().copy_from_slice(payload);
    bytes
}

/// An IPv4 packet that `change` may change before its checksum is made.
pub(crate) fn ipv4(
    between: (Ipv4Addr, Ipv4Addr),
    protocol: IpProtocol,
    payload: &[u8],
    change: impl FnOnce(&mut Ipv4Packet<&mut Vec<u8>>),
) -> Vec<u8> {
    let header = Ipv4Repr {
        src_addr: between.0,
        dst_addr: between.1,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; header.buffer_len()];
    bytes.extend_from_slice(payload);
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
    header.emit(&mut packet, &ChecksumCapabilities::default());
    change(&mut packet);
    packet.fill_checksum();
    bytes
}

/// The same with options, filled up to a multiple of four bytes by the caller.
pub(crate) fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut bytes = [&packet[..20], options, &packet[20..]].concat();
    let total = u16::try_from(bytes.len()).unwrap();
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
    packet.set_header_len(20 + u8::try_from(options.len()).unwrap());
    packet.set_total_len(total);
    packet.fill_checksum();
    bytes
}

pub(crate) fn ipv6(between: (Ipv6Addr, Ipv6Addr), protocol: IpProtocol, hops: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Repr {
        src_addr: between.0,
        dst_addr: between.1,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: hops,
    };
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut Ipv6Packet::new_unchecked(&mut bytes));
    bytes.extend_from_slice(payload);
    bytes
}

/// A datagram without its IP header.
pub(crate) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let header = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let mut bytes = vec![0; 8 + payload.len()];
    header.emit(
        &mut UdpPacket::new_unchecked(&mut bytes),
        &IpAddress::from(from.ip()),
        &IpAddress::from(to.ip()),
        payload.len(),
        |place| place.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    bytes
}

/// A datagram in its IP packet.
pub(crate) fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (at(from), at(to));
    ip(from.ip(), to.ip(), IpProtocol::Udp, &datagram(from, to, payload))
}

/// A segment in its IP packet.
pub(crate) fn tcp(from: &str, to: &str, control: TcpControl, acknowledges: Option<i32>, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (at(from), at(to));
    let segment = TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control,
        seq_number: TcpSeqNumber(1000),
        ack_number: acknowledges.map(TcpSeqNumber),
        window_len: 0xffff,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let mut bytes = vec![0; segment.buffer_len()];
    let (source, destination) = (IpAddress::from(from.ip()), IpAddress::from(to.ip()));
    let mut place = TcpPacket::new_unchecked(&mut bytes);
    segment.emit(&mut place, &source, &destination, &ChecksumCapabilities::default());
    ip(from.ip(), to.ip(), IpProtocol::Tcp, &bytes)
}

pub(crate) fn ip(from: IpAddr, to: IpAddr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4((from, to), protocol, payload, |_| ()),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6((from, to), protocol, 64, payload),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => panic!("{from} and {to}"),
    }
}

pub(crate) fn icmpv4(to: Ipv4Addr, message: &Icmpv4Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut Icmpv4Packet::new_unchecked(bytes.as_mut_slice()), &ChecksumCapabilities::default());
    ipv4((GUEST, to), IpProtocol::Icmp, &bytes, |_| ())
}

pub(crate) fn icmpv6(between: (Ipv6Addr, Ipv6Addr), hops: u8, message: &Icmpv6Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    let mut packet = Icmpv6Packet::new_unchecked(bytes.as_mut_slice());
    message.emit(&between.0, &between.1, &mut packet, &ChecksumCapabilities::default());
    ipv6(between, IpProtocol::Icmpv6, hops, &bytes)
}

pub(crate) fn arp(operation: ArpOperation, asker: Ipv4Addr, asked: Ipv4Addr) -> Vec<u8> {
    let packet = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: MAC,
        source_protocol_addr: asker,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: asked,
    };
    let mut bytes = vec![0; packet.buffer_len()];
    packet.emit(&mut ArpPacket::new_unchecked(&mut bytes));
    bytes
}

/// A message to a DHCP server, with some of its fields changed.
pub(crate) fn dhcp(kind: DhcpMessageType, change: impl FnOnce(&mut DhcpRepr<'_>)) -> Vec<u8> {
    let client = [DhcpOption { kind: 61, data: b"\xffsome client" }];
    let mut message = DhcpRepr {
        message_type: kind,
        transaction_id: 77,
        secs: 3,
        client_hardware_address: MAC,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: None,
        parameter_request_list: Some(&[1, 3, 6, 26]),
        dns_servers: None,
        max_size: Some(1500),
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &client,
    };
    change(&mut message);
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut DhcpPacket::new_unchecked(bytes.as_mut_slice())).unwrap();
    bytes
}

/// The first that a guest without an address sends.
pub(crate) fn discover() -> Vec<u8> {
    let message = dhcp(DhcpMessageType::Discover, |_| ());
    let datagram = datagram(at("0.0.0.0:68"), at("255.255.255.255:67"), &message);
    let packet = ipv4((Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST), IpProtocol::Udp, &datagram, |_| ());
    framed_to(EthernetAddress::BROADCAST, EthernetProtocol::Ipv4, &packet)
}

/// One of each kind that a guest may send.
pub(crate) fn each_kind() -> Vec<Vec<u8>> {
    let part = |offset, more| {
        let part = ipv4((GUEST, Ipv4Addr::new(192, 0, 2, 1)), IpProtocol::Udp, &[7; 64], |packet| {
            packet.set_ident(9);
            packet.set_frag_offset(offset);
            packet.set_more_frags(more);
        });
        framed(EthernetProtocol::Ipv4, &part)
    };
    let echo = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: b"abcd" };
    let echo6 = Icmpv6Repr::EchoRequest { ident: 1, seq_no: 2, data: b"abcd" };
    let lladdr = Some(RawHardwareAddress::from(MAC));
    let router = Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr });
    let gateway = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: GATEWAY6, lladdr });
    let plain = udp("10.0.2.15:4000", "192.0.2.1:53", b"question");
    let guest6 = format!("[{GUEST6}]:4000");
    vec![
        discover(),
        framed(EthernetProtocol::Ipv6, &icmpv6((GUEST_LINK, IPV6_LINK_LOCAL_ALL_ROUTERS), 255, &router)),
        framed(EthernetProtocol::Ipv6, &icmpv6((GUEST_LINK, GATEWAY6), 255, &gateway)),
        framed_to(EthernetAddress::BROADCAST, EthernetProtocol::Arp, &arp(ArpOperation::Request, GUEST, GATEWAY)),
        framed(EthernetProtocol::Ipv4, &plain),
        framed(EthernetProtocol::Ipv4, &with_options(&plain, &[1, 7, 7, 4, 0, 0, 0, 0])),
        framed(EthernetProtocol::Ipv4, &tcp("10.0.2.15:4000", "192.0.2.1:80", TcpControl::Syn, None, b"")),
        framed(EthernetProtocol::Ipv4, &icmpv4(Ipv4Addr::new(192, 0, 2, 1), &echo)),
        framed(EthernetProtocol::Ipv6, &udp(&guest6, "[2001:db8::1]:53", b"question")),
        framed(EthernetProtocol::Ipv6, &tcp(&guest6, "[2001:db8::1]:80", TcpControl::Psh, Some(5), b"data")),
        framed(EthernetProtocol::Ipv6, &icmpv6((GUEST6, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 64, &echo6)),
        part(0, true),
        part(64, false),
    ]
}

/// The frames that wait, taken out.
pub(crate) fn taken(outbox: &mut Outbox) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !outbox.is_empty() {
        let mut packet = outbox.waiting();
        while let Some((length, rest)) = packet.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            frames.push(frame.to_vec());
            packet = rest;
        }
        outbox.sent();
    }
    frames
}

/// The one IP packet that waits, taken out.
pub(crate) fn taken_ip(outbox: &mut Outbox) -> Vec<u8> {
    let frames = taken(outbox);
    assert_eq!(frames.len(), 1, "{frames:x?}");
    frames[0][ETHERNET..].to_vec()
}
