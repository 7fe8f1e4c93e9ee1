//! Reads IPv6: the header, a few extension headers, whose packet it is, and where it shall go.

use std::net::Ipv6Addr;

use smoltcp::wire::{IPV6_HEADER_LEN, IpProtocol, Ipv6ExtHeader, Ipv6FragmentHeader, Ipv6Packet, Ipv6RoutingHeader};

use super::transport::{self, Between, tiny};
use super::{Dropped, Fragment, GATEWAY_LINK, GATEWAY6, Guest, Ipv6, PREFIX6, PREFIX6_BITS, Packet};

/// More extension headers than anybody sends.
const EXTENSIONS: usize = 8;
/// Bytes of a fragment's header.
const FRAGMENT_HEADER: usize = 8;

/// Where a walk along the extension headers came to.
struct Reached<'a> {
    protocol: IpProtocol,
    payload: &'a [u8],
}

/// Reads a packet.
pub(super) fn read<'a>(packet: &'a [u8], guest: &Guest) -> Result<Packet<'a>, Dropped> {
    match guest.ipv6 {
        Ipv6::On => (),
        Ipv6::Off => return Err(Dropped::Ipv6Off),
    }
    let packet = whole(packet)?;
    let header = Ipv6Packet::new_checked(packet).map_err(|_| Dropped::Malformed)?;
    if header.hop_limit() == 0 {
        return Err(Dropped::Expired);
    }
    let (source, destination) = (header.src_addr(), header.dst_addr());
    let reached = walk(header.next_header(), header.payload())?;
    let between = Between { source: source.into(), destination: destination.into(), ip: packet };
    if reached.protocol == IpProtocol::Icmpv6 && (source.is_unspecified() || is_link_local(source)) {
        if source == GATEWAY_LINK {
            return Err(Dropped::SpoofedAddress);
        }
        return transport::icmpv6(&between, header.hop_limit(), reached.payload);
    }
    if !is_guest(source) {
        return Err(Dropped::SpoofedAddress);
    }
    if reached.protocol == IpProtocol::Icmpv6 {
        return transport::icmpv6(&between, header.hop_limit(), reached.payload);
    }
    if !is_somebody(destination, source) {
        return Err(Dropped::Destination);
    }
    match reached.protocol {
        IpProtocol::Ipv6Frag => part(&header, &packet[..IPV6_HEADER_LEN], reached.payload),
        IpProtocol::Udp => transport::udp(&between, reached.payload),
        IpProtocol::Tcp => transport::tcp(&between, reached.payload),
        _ => Err(Dropped::Protocol),
    }
}

/// Whether it is an address that one host can have, and another than the guest's own.
pub(super) fn is_somebody(destination: Ipv6Addr, source: Ipv6Addr) -> bool {
    !destination.is_multicast() && !destination.is_unspecified() && destination != source
}

/// Whether a guest may have chosen it, of the prefix that it was given.
pub(super) fn is_guest(source: Ipv6Addr) -> bool {
    let mask = !(u128::MAX >> PREFIX6_BITS);
    source.to_bits() & mask == PREFIX6.to_bits() && source != GATEWAY6 && source != PREFIX6
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// The packet without what fills up its frame.
fn whole(packet: &[u8]) -> Result<&[u8], Dropped> {
    if packet.len() < IPV6_HEADER_LEN {
        return Err(Dropped::Truncated);
    }
    let header = Ipv6Packet::new_unchecked(packet);
    if header.version() != 6 {
        return Err(Dropped::Malformed);
    }
    packet.get(..header.total_len()).ok_or(Dropped::Truncated)
}

/// Goes along the extension headers up to what they are before: a transport, a fragment, or nothing known.
fn walk(mut protocol: IpProtocol, mut payload: &[u8]) -> Result<Reached<'_>, Dropped> {
    for _ in 0..=EXTENSIONS {
        match protocol {
            IpProtocol::HopByHop | IpProtocol::Ipv6Opts | IpProtocol::Ipv6Route => {
                let header = Ipv6ExtHeader::new_checked(payload).map_err(|_| Dropped::Truncated)?;
                if protocol == IpProtocol::Ipv6Route && !is_at_end_of_way(payload) {
                    return Err(Dropped::SourceRoute);
                }
                protocol = header.next_header();
                payload = &payload[2 + header.payload().len()..];
            }
            _ => return Ok(Reached { protocol, payload }),
        }
    }
    Err(Dropped::Extensions)
}

fn is_at_end_of_way(header: &[u8]) -> bool {
    header
        .get(2..)
        .is_some_and(|data| Ipv6RoutingHeader::new_checked(data).is_ok_and(|header| header.segments_left() == 0))
}

fn part<'a>(header: &Ipv6Packet<&[u8]>, front: &'a [u8], payload: &'a [u8]) -> Result<Packet<'a>, Dropped> {
    let (told, data) = payload.split_at_checked(FRAGMENT_HEADER).ok_or(Dropped::Truncated)?;
    let fragment = Ipv6FragmentHeader::new_checked(&told[2..]).map_err(|_| Dropped::Truncated)?;
    let protocol = IpProtocol::from(told[0]);
    let offset = usize::from(fragment.frag_offset()) * 8;
    // The first has all headers (RFC 7112).
    if offset == 0 && walk(protocol, data).map_or(true, |reached| tiny(reached.protocol, reached.payload)) {
        return Err(Dropped::TinyFragment);
    }
    Ok(Packet::Fragment(Fragment {
        header: front,
        source: header.src_addr().into(),
        destination: header.dst_addr().into(),
        protocol: protocol.into(),
        identity: fragment.ident(),
        offset,
        more: fragment.more_frags(),
        data,
    }))
}
