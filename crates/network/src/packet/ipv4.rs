//! Reads IPv4: the header and its options, whose packet it is, and where it shall go.

use std::net::Ipv4Addr;

use machine_core::network::{GATEWAY, GUEST};
use smoltcp::wire::{IPV4_HEADER_LEN, IpProtocol, Ipv4Packet};

use super::transport::{self, Between, tiny};
use super::{Dropped, Fragment, NOBODY, Packet};

/// Everybody of the guest's network.
const EVERYBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 255);

const OPTION_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;
const OPTION_LOOSE_ROUTE: u8 = 131;
const OPTION_STRICT_ROUTE: u8 = 137;

/// Reads a packet. The header's checksum is looked at, since it covers few bytes and a header that is wrong may
/// say anything. Options are skipped; those that name a way are refused.
pub(super) fn read(packet: &[u8]) -> Result<Packet<'_>, Dropped> {
    let packet = whole(packet)?;
    let header = Ipv4Packet::new_checked(packet).map_err(|_| Dropped::Malformed)?;
    if !header.verify_checksum() {
        return Err(Dropped::Checksum);
    }
    let (front, payload) = packet.split_at(usize::from(header.header_len()));
    options(&front[IPV4_HEADER_LEN..])?;
    if header.hop_limit() == 0 {
        return Err(Dropped::Expired);
    }
    let (source, destination) = (header.src_addr(), header.dst_addr());
    if source != GUEST && source != NOBODY {
        return Err(Dropped::SpoofedAddress);
    }
    // DHCP alone may be for everybody, or from nobody.
    let for_server = destination == Ipv4Addr::BROADCAST || destination == EVERYBODY || destination == GATEWAY;
    if header.next_header() == IpProtocol::Udp
        && for_server
        && !is_part(&header)
        && let Some(dhcp) = transport::dhcp(payload)
    {
        return Ok(dhcp);
    }
    if source == NOBODY {
        return Err(Dropped::SpoofedAddress);
    }
    if !is_somebody(destination) {
        return Err(Dropped::Destination);
    }
    let protocol = header.next_header();
    if is_part(&header) {
        return part(&header, front, payload);
    }
    let between = Between { source: source.into(), destination: destination.into(), ip: packet };
    match protocol {
        IpProtocol::Udp => transport::udp(&between, payload),
        IpProtocol::Tcp => transport::tcp(&between, payload),
        IpProtocol::Icmp => transport::icmpv4(&between, payload),
        _ => Err(Dropped::Protocol),
    }
}

/// The packet without what fills up its frame.
fn whole(packet: &[u8]) -> Result<&[u8], Dropped> {
    if packet.len() < IPV4_HEADER_LEN {
        return Err(Dropped::Truncated);
    }
    let header = Ipv4Packet::new_unchecked(packet);
    let (length, total) = (usize::from(header.header_len()), usize::from(header.total_len()));
    if header.version() != 4 || length < IPV4_HEADER_LEN || total < length {
        return Err(Dropped::Malformed);
    }
    packet.get(..total).ok_or(Dropped::Truncated)
}

fn options(mut options: &[u8]) -> Result<(), Dropped> {
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest.first().copied().map(usize::from)) {
            (OPTION_END, _) => return Ok(()),
            (OPTION_NOTHING, _) => rest,
            (OPTION_LOOSE_ROUTE | OPTION_STRICT_ROUTE, _) => return Err(Dropped::SourceRoute),
            (_, None | Some(0 | 1)) => return Err(Dropped::Malformed),
            (_, Some(length)) => options.get(length..).ok_or(Dropped::Malformed)?,
        };
    }
    Ok(())
}

/// Whether it is an address that one host can have, and another than the guest's.
fn is_somebody(destination: Ipv4Addr) -> bool {
    let [first, ..] = destination.octets();
    first != 0 && first < 224 && destination != EVERYBODY && destination != GUEST
}

fn is_part(header: &Ipv4Packet<&[u8]>) -> bool {
    header.more_frags() || header.frag_offset() != 0
}

fn part<'a>(header: &Ipv4Packet<&[u8]>, front: &'a [u8], data: &'a [u8]) -> Result<Packet<'a>, Dropped> {
    let protocol = header.next_header();
    let offset = usize::from(header.frag_offset());
    if offset == 0 && tiny(protocol, data) {
        return Err(Dropped::TinyFragment);
    }
    Ok(Packet::Fragment(Fragment {
        header: front,
        source: header.src_addr().into(),
        destination: header.dst_addr().into(),
        protocol: protocol.into(),
        identity: u32::from(header.ident()),
        offset,
        more: header.more_frags(),
        data,
    }))
}
