//! A DHCP server with one lease, which is the same in every machine and never ends.

use std::net::{Ipv4Addr, SocketAddr};

use machine_core::network::{GATEWAY, GUEST, MTU, PREFIX, RESOLVER};
use smoltcp::wire::{DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, Ipv4Cidr};

use crate::packet::{self, Dropped, Guest, Outbox};

const OPTION_NAME: u8 = 12;
const OPTION_MTU: u8 = 26;
const OPTION_CLIENT: u8 = 61;
/// The longest name of a host.
const LONGEST_NAME: usize = 63;
/// A lease without an end.
const FOREVER: u32 = u32::MAX;
/// Old clients take no less.
const SHORTEST: usize = 300;
const MASK: Ipv4Addr = Ipv4Cidr::new(GATEWAY, PREFIX).netmask();

/// What is said of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It may be had.
    Offer,
    /// It is had.
    Lease,
    /// It is known to be had; here is what else there is to know.
    Surroundings,
    /// It is another.
    Refusal,
}

/// Answers a message, if it is to be answered.
pub(super) fn answer(outbox: &mut Outbox, message: &[u8], guest: &Guest, name: Option<&str>) -> Result<(), Dropped> {
    let packet = DhcpPacket::new_checked(message).map_err(|_| Dropped::Truncated)?;
    let asked = DhcpRepr::parse(&packet).map_err(|_| Dropped::Malformed)?;
    if asked.client_hardware_address != guest.mac {
        return Err(Dropped::SpoofedCard);
    }
    let answer = decide(&asked)?;
    // Clients know their answers by it (RFC 6842).
    let client = packet.options().find(|option| option.kind == OPTION_CLIENT).map(|option| option.data);
    let reply = written(&asked, answer, client, name)?;
    let to = match answer {
        Answer::Refusal => Ipv4Addr::BROADCAST,
        Answer::Offer | Answer::Lease if asked.broadcast && asked.client_ip.is_unspecified() => Ipv4Addr::BROADCAST,
        Answer::Offer | Answer::Lease | Answer::Surroundings => GUEST,
    };
    let (from, to) = (SocketAddr::from((GATEWAY, DHCP_SERVER_PORT)), SocketAddr::from((to, DHCP_CLIENT_PORT)));
    packet::udp(outbox, from, to, &reply)
}

fn decide(asked: &DhcpRepr<'_>) -> Result<Answer, Dropped> {
    let held = Some(asked.client_ip).filter(|address| !address.is_unspecified());
    match asked.message_type {
        DhcpMessageType::Discover => Ok(Answer::Offer),
        // It took another server's offer.
        DhcpMessageType::Request if asked.server_identifier.is_some_and(|server| server != GATEWAY) => {
            Err(Dropped::Unanswered)
        }
        DhcpMessageType::Request => match asked.requested_ip.or(held) {
            Some(GUEST) => Ok(Answer::Lease),
            Some(_) => Ok(Answer::Refusal),
            None => Err(Dropped::Malformed),
        },
        DhcpMessageType::Inform if held == Some(GUEST) => Ok(Answer::Surroundings),
        _ => Err(Dropped::Unanswered),
    }
}

fn written(
    asked: &DhcpRepr<'_>,
    answer: Answer,
    client: Option<&[u8]>,
    name: Option<&str>,
) -> Result<Vec<u8>, Dropped> {
    let mtu = MTU.to_be_bytes();
    let client = client.map(|data| DhcpOption { kind: OPTION_CLIENT, data });
    let name = name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
    let name = name.map(|name| DhcpOption { kind: OPTION_NAME, data: name.as_bytes() });
    let told = answer != Answer::Refusal;
    let surroundings = [Some(DhcpOption { kind: OPTION_MTU, data: &mtu }), name].into_iter().filter(|_| told);
    let options: Vec<_> = surroundings.chain([client]).flatten().collect();
    let (message_type, your_ip, lease_duration) = match answer {
        Answer::Offer => (DhcpMessageType::Offer, GUEST, Some(FOREVER)),
        Answer::Lease => (DhcpMessageType::Ack, GUEST, Some(FOREVER)),
        Answer::Surroundings => (DhcpMessageType::Ack, Ipv4Addr::UNSPECIFIED, None),
        Answer::Refusal => (DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED, None),
    };
    let reply = DhcpRepr {
        message_type,
        transaction_id: asked.transaction_id,
        secs: 0,
        client_hardware_address: asked.client_hardware_address,
        client_ip: if told { asked.client_ip } else { Ipv4Addr::UNSPECIFIED },
        your_ip,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: told.then_some(GATEWAY),
        subnet_mask: told.then_some(MASK),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: asked.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: told.then(|| [RESOLVER].into_iter().collect()),
        max_size: None,
        lease_duration,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &options,
    };
    let mut place = vec![0; reply.buffer_len().max(SHORTEST)];
    reply.emit(&mut DhcpPacket::new_unchecked(place.as_mut_slice())).map_err(|_| Dropped::Oversized)?;
    Ok(place)
}
