//! Reads what IP carries: UDP, TCP and ICMP. The checksums of UDP and TCP are not looked at: the link is a socket
//! in this host's memory, a wrong one harms nobody but its guest; the host's kernel makes new ones, and smoltcp
//! looks at TCP's. ICMP's are: those messages are small, or rare.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use machine_core::network::{GATEWAY, RESOLVER};
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, IPV4_HEADER_LEN, IPV6_HEADER_LEN, Icmpv4DstUnreachable, Icmpv4Message,
    Icmpv4Packet, Icmpv6DstUnreachable, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, NdiscRepr,
    TCP_HEADER_LEN, TcpPacket, UDP_HEADER_LEN, UdpPacket,
};

use super::ipv6::{is_guest, is_somebody};
use super::{Dropped, Echo, GATEWAY_LINK, GATEWAY6, Local, Packet, Refused, Segment, Tcp, Udp};

/// What neighbours say has made no hop.
const FROM_NEIGHBOUR: u8 = 255;

/// The packet that carries it.
pub(super) struct Between<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ip: &'a [u8],
}

/// Whether a first fragment does not even have its transport's header: its ports could not be told.
pub(super) fn tiny(protocol: IpProtocol, data: &[u8]) -> bool {
    let header = if protocol == IpProtocol::Tcp { TCP_HEADER_LEN } else { UDP_HEADER_LEN };
    data.len() < header
}

/// A message to the DHCP server, if it is one.
pub(super) fn dhcp(payload: &[u8]) -> Option<Packet<'_>> {
    let datagram = UdpPacket::new_checked(payload).ok()?;
    let is_dhcp = datagram.src_port() == DHCP_CLIENT_PORT && datagram.dst_port() == DHCP_SERVER_PORT;
    is_dhcp.then(|| Packet::Local(Local::Dhcp(datagram.payload())))
}

pub(super) fn udp<'a>(between: &Between<'a>, payload: &'a [u8]) -> Result<Packet<'a>, Dropped> {
    if payload.len() < UDP_HEADER_LEN {
        return Err(Dropped::Truncated);
    }
    let datagram = UdpPacket::new_checked(payload).map_err(|_| Dropped::Malformed)?;
    let (from, to) = (datagram.src_port(), datagram.dst_port());
    if from == 0 || to == 0 {
        return Err(Dropped::Malformed);
    }
    Ok(Packet::Udp(Udp {
        source: SocketAddr::new(between.source, from),
        destination: SocketAddr::new(between.destination, to),
        payload: datagram.payload(),
        ip: between.ip,
    }))
}

pub(super) fn tcp<'a>(between: &Between<'a>, payload: &'a [u8]) -> Result<Packet<'a>, Dropped> {
    if payload.len() < TCP_HEADER_LEN {
        return Err(Dropped::Truncated);
    }
    let segment = TcpPacket::new_checked(payload).map_err(|_| Dropped::Malformed)?;
    let (from, to) = (segment.src_port(), segment.dst_port());
    if from == 0 || to == 0 {
        return Err(Dropped::Malformed);
    }
    let kind = match (segment.syn(), segment.fin(), segment.rst(), segment.ack()) {
        (true, false, false, false) => Segment::Opens,
        (true, false, false, true) => Segment::Answers,
        (false, false, true, _) => Segment::Resets,
        (false, _, false, _) => Segment::Carries,
        (true, true, _, _) | (true, _, true, _) | (_, true, true, _) => return Err(Dropped::Malformed),
    };
    Ok(Packet::Tcp(Tcp {
        source: SocketAddr::new(between.source, from),
        destination: SocketAddr::new(between.destination, to),
        kind,
        sequence: segment.seq_number(),
        acknowledges: segment.ack().then(|| segment.ack_number()),
        length: segment.segment_len(),
        ip: between.ip,
    }))
}

pub(super) fn icmpv4<'a>(between: &Between<'a>, payload: &'a [u8]) -> Result<Packet<'a>, Dropped> {
    let message = Icmpv4Packet::new_checked(payload).map_err(|_| Dropped::Truncated)?;
    if !message.verify_checksum() {
        return Err(Dropped::Checksum);
    }
    match (message.msg_type(), message.msg_code()) {
        (Icmpv4Message::EchoRequest, 0) => {
            Ok(echo(between, message.echo_ident(), message.echo_seq_no(), message.data()))
        }
        (Icmpv4Message::DstUnreachable, code)
            if Icmpv4DstUnreachable::from(code) == Icmpv4DstUnreachable::PortUnreachable =>
        {
            refused_in_ipv4(message.data()).map(Packet::Refused).ok_or(Dropped::Unanswered)
        }
        _ => Err(Dropped::Unanswered),
    }
}

pub(super) fn icmpv6<'a>(between: &Between<'a>, hops: u8, payload: &'a [u8]) -> Result<Packet<'a>, Dropped> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (between.source, between.destination) else {
        return Err(Dropped::Malformed);
    };
    let message = Icmpv6Packet::new_checked(payload).map_err(|_| Dropped::Truncated)?;
    if !message.verify_checksum(&source, &destination) {
        return Err(Dropped::Checksum);
    }
    match (message.msg_type(), message.msg_code()) {
        (Icmpv6Message::NeighborSolicit | Icmpv6Message::RouterSolicit, 0) if hops == FROM_NEIGHBOUR => {
            neighbour(&message, source)
        }
        (Icmpv6Message::EchoRequest, 0) => {
            let to_gateway = destination == GATEWAY_LINK || destination == GATEWAY6;
            if source.is_unspecified() || !(to_gateway || is_guest(source)) {
                return Err(Dropped::SpoofedAddress);
            }
            if !is_somebody(destination, source) {
                return Err(Dropped::Destination);
            }
            Ok(echo(between, message.echo_ident(), message.echo_seq_no(), message.payload()))
        }
        (Icmpv6Message::DstUnreachable, code)
            if Icmpv6DstUnreachable::from(code) == Icmpv6DstUnreachable::PortUnreachable =>
        {
            refused_in_ipv6(message.payload()).map(Packet::Refused).ok_or(Dropped::Unanswered)
        }
        _ => Err(Dropped::Unanswered),
    }
}

fn neighbour<'a>(message: &Icmpv6Packet<&[u8]>, asker: Ipv6Addr) -> Result<Packet<'a>, Dropped> {
    match NdiscRepr::parse(message).map_err(|_| Dropped::Malformed)? {
        NdiscRepr::NeighborSolicit { target_addr: asked, .. } => Ok(Packet::Local(Local::Solicited { asked, asker })),
        NdiscRepr::RouterSolicit { .. } => Ok(Packet::Local(Local::RouterSolicited { asker })),
        _ => Err(Dropped::Unanswered),
    }
}

fn echo<'a>(between: &Between<'a>, identifier: u16, sequence: u16, data: &'a [u8]) -> Packet<'a> {
    let Between { source, destination, ip } = *between;
    let echo = Echo { source, destination, identifier, sequence, data, ip };
    let ours: [IpAddr; 4] = [GATEWAY.into(), RESOLVER.into(), GATEWAY_LINK.into(), GATEWAY6.into()];
    if ours.contains(&destination) { Packet::Local(Local::Echo(echo)) } else { Packet::Echo(echo) }
}

/// What was refused, of the packet that is quoted; the quote may end anywhere after the ports.
fn refused_in_ipv4(quote: &[u8]) -> Option<Refused> {
    let header = Ipv4Packet::new_unchecked(quote.get(..IPV4_HEADER_LEN)?);
    let length = usize::from(header.header_len());
    let is_datagram = header.version() == 4 && length >= IPV4_HEADER_LEN && header.next_header() == IpProtocol::Udp;
    let (from, to) = is_datagram.then(|| quote.get(length..)).flatten().and_then(ports)?;
    let (source, destination): (Ipv4Addr, Ipv4Addr) = (header.src_addr(), header.dst_addr());
    Some(Refused { source: (source, from).into(), destination: (destination, to).into() })
}

fn refused_in_ipv6(quote: &[u8]) -> Option<Refused> {
    let header = Ipv6Packet::new_unchecked(quote.get(..IPV6_HEADER_LEN)?);
    let is_datagram = header.version() == 6 && header.next_header() == IpProtocol::Udp;
    let (from, to) = is_datagram.then(|| quote.get(IPV6_HEADER_LEN..)).flatten().and_then(ports)?;
    let (source, destination): (Ipv6Addr, Ipv6Addr) = (header.src_addr(), header.dst_addr());
    Some(Refused { source: (source, from).into(), destination: (destination, to).into() })
}

fn ports(datagram: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d, ..] = datagram else { return None };
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}
