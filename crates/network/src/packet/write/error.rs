//! ICMP messages that say that a packet of the guest's did not get there.

use std::net::{IpAddr, SocketAddr};

use machine_core::network::GATEWAY;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Repr, IpProtocol, IpVersion, Ipv4Packet, Ipv4Repr,
    Ipv6Packet, Ipv6Repr,
};

use super::super::{Dropped, GATEWAY6, Outbox};
use super::{HOPS, icmpv4, icmpv6};

/// As much of a packet as is quoted: with all headers it fits into 576 bytes.
const QUOTED: usize = 576 - 20 - 8 - 20;

/// Why it did not get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nobody listens there.
    Port,
    /// The rules forbid it.
    Prohibited,
    /// There is no way to that host.
    Host,
}

/// The first bytes of what did not get there.
struct Quote<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    payload: &'a [u8],
}

/// Says so of this IP packet.
pub(crate) fn unreachable(outbox: &mut Outbox, packet: &[u8], reason: Reason) -> Result<(), Dropped> {
    let quote = match IpVersion::of_packet(packet).map_err(|_| Dropped::Malformed)? {
        IpVersion::Ipv4 => {
            let packet = Ipv4Packet::new_checked(packet).map_err(|_| Dropped::Malformed)?;
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            Quote { source, destination, protocol: packet.next_header(), payload: packet.payload() }
        }
        IpVersion::Ipv6 => {
            let packet = Ipv6Packet::new_checked(packet).map_err(|_| Dropped::Malformed)?;
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            Quote { source, destination, protocol: packet.next_header(), payload: packet.payload() }
        }
    };
    send(outbox, &quote, reason)
}

/// Says so of a datagram that the guest sent earlier, from these ends.
pub(crate) fn unreachable_flow(
    outbox: &mut Outbox,
    source: SocketAddr,
    destination: SocketAddr,
    reason: Reason,
) -> Result<(), Dropped> {
    let ([a, b], [c, d]) = (source.port().to_be_bytes(), destination.port().to_be_bytes());
    // The length of an empty datagram and no checksum: the ports are what its sender is found by.
    let payload = &[a, b, c, d, 0, 8, 0, 0];
    let quote = Quote { source: source.ip(), destination: destination.ip(), protocol: IpProtocol::Udp, payload };
    send(outbox, &quote, reason)
}

fn send(outbox: &mut Outbox, quote: &Quote<'_>, reason: Reason) -> Result<(), Dropped> {
    let data = quote.payload.get(..QUOTED).unwrap_or(quote.payload);
    match (quote.source, quote.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Repr {
                src_addr: source,
                dst_addr: destination,
                next_header: quote.protocol,
                payload_len: data.len(),
                hop_limit: HOPS,
            };
            let (teller, reason) = match reason {
                Reason::Port => (destination, Icmpv4DstUnreachable::PortUnreachable),
                Reason::Prohibited => (GATEWAY, Icmpv4DstUnreachable::CommProhibited),
                Reason::Host => (GATEWAY, Icmpv4DstUnreachable::HostUnreachable),
            };
            let message = Icmpv4Repr::DstUnreachable { reason, header, data };
            icmpv4(outbox, teller.into(), quote.source, &message)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Repr {
                src_addr: source,
                dst_addr: destination,
                next_header: quote.protocol,
                payload_len: data.len(),
                hop_limit: HOPS,
            };
            let (teller, reason) = match reason {
                Reason::Port => (destination, Icmpv6DstUnreachable::PortUnreachable),
                Reason::Prohibited => (GATEWAY6, Icmpv6DstUnreachable::AdminProhibit),
                Reason::Host => (GATEWAY6, Icmpv6DstUnreachable::AddrUnreachable),
            };
            let message = Icmpv6Repr::DstUnreachable { reason, header, data };
            icmpv6(outbox, teller, source, HOPS, &message)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(Dropped::Malformed),
    }
}
