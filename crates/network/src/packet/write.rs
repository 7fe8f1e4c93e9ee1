//! Packets for the guest, put into its outbox. Both ends of a packet are of one family, or it is dropped as
//! malformed.

mod control;
mod error;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use machine_core::network::MTU;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, IPV4_HEADER_LEN, IPV6_HEADER_LEN, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr,
    IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UDP_HEADER_LEN, UdpPacket, UdpRepr,
};

use super::{Dropped, Echo, Outbox};

pub(crate) use control::{provoke, reset};
pub(crate) use error::{Reason, unreachable, unreachable_flow};

/// How many hops a packet of ours may make; a guest may have networks of its own.
const HOPS: u8 = 64;
/// The most bytes of a fragment's payload: offsets count in eights.
const FRAGMENT: usize = (MTU as usize - IPV4_HEADER_LEN) & !7;

/// A datagram.
pub(crate) fn udp(
    outbox: &mut Outbox,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> Result<(), Dropped> {
    let header = header(source.ip(), destination.ip(), IpProtocol::Udp, UDP_HEADER_LEN + payload.len())?;
    ip(outbox, &header, |place| write_udp(place, source, destination, payload))
}

/// What answers an echo request; `data` is what came back.
pub(crate) fn echo_reply(outbox: &mut Outbox, asked: &Echo<'_>) -> Result<(), Dropped> {
    let Echo { identifier: ident, sequence: seq_no, data, .. } = *asked;
    match (asked.destination, asked.source) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let reply = Icmpv4Repr::EchoReply { ident, seq_no, data };
            icmpv4(outbox, asked.destination, asked.source, &reply)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            icmpv6(outbox, from, to, HOPS, &Icmpv6Repr::EchoReply { ident, seq_no, data })
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(Dropped::Malformed),
    }
}

/// An ARP packet.
pub(crate) fn arp(outbox: &mut Outbox, packet: &ArpRepr) -> Result<(), Dropped> {
    outbox.arp(packet.buffer_len(), |place| packet.emit(&mut ArpPacket::new_unchecked(place)))
}

/// An ICMP message of IPv6.
pub(crate) fn icmpv6(
    outbox: &mut Outbox,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    message: &Icmpv6Repr<'_>,
) -> Result<(), Dropped> {
    let header = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit,
    };
    ip(outbox, &IpRepr::Ipv6(header), |place| {
        place.fill(0);
        let mut packet = Icmpv6Packet::new_unchecked(place);
        message.emit(&source, &destination, &mut packet, &ChecksumCapabilities::default());
    })
}

fn icmpv4(outbox: &mut Outbox, source: IpAddr, destination: IpAddr, message: &Icmpv4Repr<'_>) -> Result<(), Dropped> {
    let header = header(source, destination, IpProtocol::Icmp, message.buffer_len())?;
    ip(outbox, &header, |place| {
        place.fill(0);
        message.emit(&mut Icmpv4Packet::new_unchecked(place), &ChecksumCapabilities::default());
    })
}

fn header(source: IpAddr, destination: IpAddr, protocol: IpProtocol, length: usize) -> Result<IpRepr, Dropped> {
    match (source, destination) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            Ok(IpRepr::new(source.into(), destination.into(), protocol, length, HOPS))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(Dropped::Malformed),
    }
}

/// A packet whose payload `write` fills wholly. One that is longer than the link's MTU goes in fragments in IPv4,
/// and not at all in IPv6.
fn ip(outbox: &mut Outbox, header: &IpRepr, write: impl FnOnce(&mut [u8])) -> Result<(), Dropped> {
    let length = header.buffer_len();
    if length > usize::from(u16::MAX) {
        return Err(Dropped::Oversized);
    }
    match header {
        IpRepr::Ipv4(header) if length > usize::from(MTU) => {
            let mut payload = vec![0; header.payload_len];
            write(&mut payload);
            fragments(outbox, header, &payload)
        }
        IpRepr::Ipv4(header) => {
            let identity = outbox.identity();
            outbox.ip(length, |place| {
                head(place, header, |packet| packet.set_ident(identity));
                write(&mut place[IPV4_HEADER_LEN..]);
            })
        }
        IpRepr::Ipv6(header) => outbox.ip(length, |place| {
            header.emit(&mut Ipv6Packet::new_unchecked(&mut *place));
            write(&mut place[IPV6_HEADER_LEN..]);
        }),
    }
}

/// Unlike smoltcp's, ours may be fragmented: behind the guest there may be links with a smaller MTU.
fn head(place: &mut [u8], header: &Ipv4Repr, also: impl FnOnce(&mut Ipv4Packet<&mut [u8]>)) {
    let mut packet = Ipv4Packet::new_unchecked(place);
    header.emit(&mut packet, &ChecksumCapabilities::ignored());
    packet.set_dont_frag(false);
    also(&mut packet);
    packet.fill_checksum();
}

/// All of them, or none.
fn fragments(outbox: &mut Outbox, header: &Ipv4Repr, payload: &[u8]) -> Result<(), Dropped> {
    let parts = payload.len().div_ceil(FRAGMENT);
    if !outbox.has_room_for(parts, parts * IPV4_HEADER_LEN + payload.len()) {
        return Err(Dropped::LinkFull);
    }
    let identity = outbox.identity();
    for (part, offset) in payload.chunks(FRAGMENT).zip((0_u16..).step_by(FRAGMENT)) {
        let header = Ipv4Repr { payload_len: part.len(), ..*header };
        let more = usize::from(offset) + part.len() < payload.len();
        outbox.ip(IPV4_HEADER_LEN + part.len(), |place| {
            head(place, &header, |packet| {
                packet.set_ident(identity);
                packet.set_frag_offset(offset);
                packet.set_more_frags(more);
            });
            place[IPV4_HEADER_LEN..].copy_from_slice(part);
        })?;
    }
    Ok(())
}

fn write_udp(place: &mut [u8], source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
    let header = UdpRepr { src_port: source.port(), dst_port: destination.port() };
    header.emit(
        &mut UdpPacket::new_unchecked(place),
        &IpAddress::from(source.ip()),
        &IpAddress::from(destination.ip()),
        payload.len(),
        |place| place.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
}
