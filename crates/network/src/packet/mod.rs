//! Frames between guest and gateway: what the guest sends is read here, once, before anything else looks at it;
//! what it is sent is written here. Knows nothing of rules, sockets or time beyond the life of a fragment.
//!
//! ```text
//! frame ──read──▶ Packet ──┬─ Local ──────▶ neighbour
//!    │               ▲     ├─ Udp, Echo ──▶ udp          ──write──▶ Outbox ──▶ link
//!    ▼ Dropped       │     ├─ Tcp ────────▶ smoltcp
//!  Drops          read_ip  └─ Fragment ─┐
//!                    └── Reassembly ◀───┘
//! ```

mod dropped;
mod ipv4;
mod ipv6;
mod outbox;
mod read;
mod reassembly;
mod transport;
mod write;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use machine_core::network::MTU;
use smoltcp::wire::{EthernetAddress, TcpSeqNumber};

pub(crate) use dropped::{Dropped, Drops};
pub(crate) use outbox::Outbox;
pub(crate) use read::{read, read_ip};
pub(crate) use reassembly::{Fragment, Reassembly};
pub(crate) use write::{Reason, arp, echo_reply, icmpv6, provoke, reset, udp, unreachable, unreachable_flow};

/// The gateway's card; the resolver is behind it, too.
pub(crate) const GATEWAY_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 0x0a, 0x00, 0x02, 0x02]);
/// The gateway's address on the link, where there is IPv6.
pub(crate) const GATEWAY_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// The network that guests of ours have in IPv6: the same in every machine.
pub(crate) const PREFIX6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x6163, 0x68ee, 0, 0, 0, 0, 0);
/// Its leading bits.
pub(crate) const PREFIX6_BITS: u8 = 64;
/// The gateway's address in it.
pub(crate) const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x6163, 0x68ee, 0, 0, 0, 0, 2);
/// Who has no address yet.
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// The largest frame, in bytes.
pub(crate) const LONGEST_FRAME: usize = ETHERNET + MTU as usize;

/// Who is at the other end of the link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest {
    /// The address of its card.
    pub(crate) mac: EthernetAddress,
    /// Whether it has IPv6.
    pub(crate) ipv6: Ipv6,
}

/// Whether there is IPv6 behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// The guest is given a prefix and a router.
    On,
    /// Its IPv6 packets are dropped.
    Off,
}

/// What a frame carried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packet<'a> {
    /// For the gateway's own answers.
    Local(Local<'a>),
    /// A datagram.
    Udp(Udp<'a>),
    /// A segment.
    Tcp(Tcp<'a>),
    /// An echo request that goes further than the gateway.
    Echo(Echo<'a>),
    /// The guest refuses a datagram that it was sent.
    Refused(Refused),
    /// A part of a packet.
    Fragment(Fragment<'a>),
}

/// What neighbours say to each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Local<'a> {
    /// Who has this IPv4 address?
    WhoHas { asked: Ipv4Addr, asker: Ipv4Addr },
    /// Who has this IPv6 address?
    Solicited { asked: Ipv6Addr, asker: Ipv6Addr },
    /// Is there a router?
    RouterSolicited { asker: Ipv6Addr },
    /// A message to a DHCP server.
    Dhcp(&'a [u8]),
    /// An echo request to the gateway or the resolver.
    Echo(Echo<'a>),
}

/// A datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Udp<'a> {
    /// The guest's end.
    pub(crate) source: SocketAddr,
    /// Where it shall go.
    pub(crate) destination: SocketAddr,
    /// What it carries.
    pub(crate) payload: &'a [u8],
    /// The whole IP packet.
    pub(crate) ip: &'a [u8],
}

/// A segment; its checksum was not looked at, since smoltcp does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tcp<'a> {
    /// The guest's end.
    pub(crate) source: SocketAddr,
    /// Where it shall go.
    pub(crate) destination: SocketAddr,
    /// What its flags say.
    pub(crate) kind: Segment,
    /// Its sequence number.
    pub(crate) sequence: TcpSeqNumber,
    /// What it acknowledges.
    pub(crate) acknowledges: Option<TcpSeqNumber>,
    /// How much of the sequence it takes.
    pub(crate) length: usize,
    /// The whole IP packet.
    pub(crate) ip: &'a [u8],
}

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A SYN without an ACK: a connection is asked for.
    Opens,
    /// A SYN with an ACK.
    Answers,
    /// A RST.
    Resets,
    /// Data, an ACK or a FIN.
    Carries,
}

/// An echo request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Echo<'a> {
    /// The guest's address.
    pub(crate) source: std::net::IpAddr,
    /// Who is asked.
    pub(crate) destination: std::net::IpAddr,
    /// Which program of the guest asks.
    pub(crate) identifier: u16,
    /// Which of its requests.
    pub(crate) sequence: u16,
    /// What comes back.
    pub(crate) data: &'a [u8],
    /// The whole IP packet.
    pub(crate) ip: &'a [u8],
}

/// An ICMP port unreachable of the guest's, about a datagram that it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Who had sent the datagram, as the guest was shown.
    pub(crate) source: SocketAddr,
    /// The guest's port where nobody listens.
    pub(crate) destination: SocketAddr,
}
