//! What IPv6 neighbours say to each other: that the gateway is there, that it is a router, and what prefix
//! guests choose their addresses from.

use std::net::Ipv6Addr;

use smoltcp::time::Duration;
use smoltcp::wire::{
    IPV6_LINK_LOCAL_ALL_NODES, Icmpv6Repr, NdiscNeighborFlags, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr,
    NdiscRouterFlags, RawHardwareAddress,
};

use machine_core::network::MTU;

use crate::packet::{self, Dropped, GATEWAY_LINK, GATEWAY_MAC, Outbox, PREFIX6, PREFIX6_BITS};

/// What neighbours say makes no hop.
const TO_NEIGHBOUR: u8 = 255;
/// How many hops the guest's own packets may make.
const HOPS: u8 = 64;
/// The longest that a router may promise to stay (RFC 8319).
const LONGEST: Duration = Duration::from_secs(u16::MAX as u64);
/// As long as the guest is up.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The gateway has this address.
pub(super) fn answer(outbox: &mut Outbox, asked: Ipv6Addr, asker: Ipv6Addr) -> Result<(), Dropped> {
    let ours = NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::OVERRIDE;
    // Who asks from no address wants to have it for itself.
    let (to, flags) = if asker.is_unspecified() {
        (IPV6_LINK_LOCAL_ALL_NODES, ours)
    } else {
        (asker, ours | NdiscNeighborFlags::SOLICITED)
    };
    let lladdr = Some(RawHardwareAddress::from(GATEWAY_MAC));
    say(outbox, asked, to, NdiscRepr::NeighborAdvert { flags, target_addr: asked, lladdr })
}

/// There is a router: said to who asked, or to everybody.
pub(super) fn advertise(outbox: &mut Outbox, asker: Option<Ipv6Addr>) -> Result<(), Dropped> {
    let to = asker.filter(|asker| !asker.is_unspecified()).unwrap_or(IPV6_LINK_LOCAL_ALL_NODES);
    say(outbox, GATEWAY_LINK, to, router(LONGEST, FOREVER))
}

/// There is no router any longer, and no prefix.
pub(super) fn withdraw(outbox: &mut Outbox) -> Result<(), Dropped> {
    say(outbox, GATEWAY_LINK, IPV6_LINK_LOCAL_ALL_NODES, router(Duration::ZERO, Duration::ZERO))
}

fn router(router_lifetime: Duration, lifetime: Duration) -> NdiscRepr<'static> {
    NdiscRepr::RouterAdvert {
        hop_limit: HOPS,
        flags: NdiscRouterFlags::empty(),
        router_lifetime,
        reachable_time: Duration::ZERO,
        retrans_time: Duration::ZERO,
        lladdr: Some(RawHardwareAddress::from(GATEWAY_MAC)),
        mtu: Some(u32::from(MTU)),
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: PREFIX6_BITS,
            flags: NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: lifetime,
            preferred_lifetime: lifetime,
            prefix: PREFIX6,
        }),
    }
}

fn say(outbox: &mut Outbox, from: Ipv6Addr, to: Ipv6Addr, message: NdiscRepr<'_>) -> Result<(), Dropped> {
    packet::icmpv6(outbox, from, to, TO_NEIGHBOUR, &Icmpv6Repr::Ndisc(message))
}
