//! Reads a frame: Ethernet and ARP here, IP in its own files. Whatever bytes it is given, it answers.

use machine_core::network::GUEST;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, IpVersion};

use super::{Dropped, GATEWAY_MAC, Guest, LONGEST_FRAME, Local, NOBODY, Packet, ipv4, ipv6};

/// Reads a frame of the guest's. Frames with a VLAN tag are of a type that nobody here knows.
pub(crate) fn read<'a>(frame: &'a [u8], guest: &Guest) -> Result<Packet<'a>, Dropped> {
    if frame.len() > LONGEST_FRAME {
        return Err(Dropped::Oversized);
    }
    let ethernet = EthernetFrame::new_checked(frame).map_err(|_| Dropped::Truncated)?;
    if ethernet.src_addr() != guest.mac {
        return Err(Dropped::SpoofedCard);
    }
    let to = ethernet.dst_addr();
    if to != GATEWAY_MAC && to.is_unicast() {
        return Err(Dropped::OtherCard);
    }
    let packet = match ethernet.ethertype() {
        EthernetProtocol::Arp => arp(ethernet.payload(), guest)?,
        EthernetProtocol::Ipv4 => ipv4::read(ethernet.payload())?,
        EthernetProtocol::Ipv6 => ipv6::read(ethernet.payload(), guest)?,
        EthernetProtocol::Unknown(_) => return Err(Dropped::EtherType),
    };
    if to == GATEWAY_MAC || is_for_all(&packet) { Ok(packet) } else { Err(Dropped::Destination) }
}

/// Reads a packet that was put together of fragments.
pub(crate) fn read_ip<'a>(packet: &'a [u8], guest: &Guest) -> Result<Packet<'a>, Dropped> {
    let packet = match IpVersion::of_packet(packet).map_err(|_| Dropped::Malformed)? {
        IpVersion::Ipv4 => ipv4::read(packet)?,
        IpVersion::Ipv6 => ipv6::read(packet, guest)?,
    };
    match packet {
        // Neighbours never come in parts (RFC 6980), nor does a part.
        Packet::Fragment(_)
        | Packet::Local(Local::WhoHas { .. } | Local::Solicited { .. } | Local::RouterSolicited { .. }) => {
            Err(Dropped::Malformed)
        }
        Packet::Local(Local::Dhcp(_) | Local::Echo(_))
        | Packet::Udp(_)
        | Packet::Tcp(_)
        | Packet::Echo(_)
        | Packet::Refused(_) => Ok(packet),
    }
}

/// Whether it may come in a frame for all; what is for one may not.
fn is_for_all(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Local(local) => match local {
            Local::WhoHas { .. } | Local::Solicited { .. } | Local::RouterSolicited { .. } | Local::Dhcp(_) => true,
            Local::Echo(_) => false,
        },
        Packet::Udp(_) | Packet::Tcp(_) | Packet::Echo(_) | Packet::Refused(_) | Packet::Fragment(_) => false,
    }
}

fn arp<'a>(packet: &[u8], guest: &Guest) -> Result<Packet<'a>, Dropped> {
    let packet = ArpPacket::new_checked(packet).map_err(|_| Dropped::Truncated)?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr: asker,
        target_protocol_addr: asked,
        ..
    } = ArpRepr::parse(&packet).map_err(|_| Dropped::Malformed)?
    else {
        return Err(Dropped::Malformed);
    };
    if source_hardware_addr != guest.mac {
        return Err(Dropped::SpoofedCard);
    }
    // A guest that looks whether its address is free says that it is nobody (RFC 5227).
    if asker != GUEST && asker != NOBODY {
        return Err(Dropped::SpoofedAddress);
    }
    match operation {
        ArpOperation::Request => Ok(Packet::Local(Local::WhoHas { asked, asker })),
        ArpOperation::Reply | ArpOperation::Unknown(_) => Err(Dropped::Unanswered),
    }
}
