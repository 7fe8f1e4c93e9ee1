//! What the gateway itself answers to its neighbour, the guest: who has an address, what address it has, that
//! there is a router, and that it is there. Knows nothing of what is behind.

mod dhcp;
mod discovery;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use machine_core::network::{GATEWAY, RESOLVER};
use smoltcp::wire::{ArpOperation, ArpRepr};

use crate::packet::{self, Dropped, GATEWAY_LINK, GATEWAY_MAC, GATEWAY6, Guest, Ipv6, Local, Outbox};

/// How often the router is told of unasked; well within what it says that it stays.
const ADVERTISED: Duration = Duration::from_secs(4 * 60 * 60);

/// Who answers.
#[derive(Debug)]
pub(crate) struct Neighbours {
    guest: Guest,
    name: Option<String>,
    advertise: Option<Instant>,
}

impl Neighbours {
    /// For this guest, which is told this name for itself if it asks by DHCP.
    pub(crate) fn new(guest: Guest, name: Option<String>) -> Self {
        Self { guest, name, advertise: None }
    }

    /// The guest is there, again or for the first time: it hears of its router.
    pub(crate) fn attached(&mut self, now: Instant, outbox: &mut Outbox) -> Result<(), Dropped> {
        match self.guest.ipv6 {
            Ipv6::On => {
                self.advertise = Some(now + ADVERTISED);
                discovery::advertise(outbox, None)
            }
            Ipv6::Off => Ok(()),
        }
    }

    /// There is IPv6 from now on, or no longer: the guest hears of it.
    pub(crate) fn set_ipv6(&mut self, now: Instant, ipv6: Ipv6, outbox: &mut Outbox) -> Result<(), Dropped> {
        let before = std::mem::replace(&mut self.guest.ipv6, ipv6);
        match (before, ipv6) {
            (Ipv6::Off, Ipv6::On) => self.attached(now, outbox),
            (Ipv6::On, Ipv6::Off) => {
                self.advertise = None;
                discovery::withdraw(outbox)
            }
            (Ipv6::On, Ipv6::On) | (Ipv6::Off, Ipv6::Off) => Ok(()),
        }
    }

    /// Answers, if it is to be answered.
    pub(crate) fn answer(&self, asked: &Local<'_>, outbox: &mut Outbox) -> Result<(), Dropped> {
        match *asked {
            Local::WhoHas { asked, asker } if asked == GATEWAY || asked == RESOLVER => {
                let reply = ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Reply,
                    source_hardware_addr: GATEWAY_MAC,
                    source_protocol_addr: asked,
                    target_hardware_addr: self.guest.mac,
                    target_protocol_addr: asker,
                };
                packet::arp(outbox, &reply)
            }
            Local::Solicited { asked, asker } if asked == GATEWAY_LINK || asked == GATEWAY6 => {
                discovery::answer(outbox, asked, asker)
            }
            Local::WhoHas { .. } | Local::Solicited { .. } => Err(Dropped::Unanswered),
            Local::RouterSolicited { asker } => discovery::advertise(outbox, Some(asker)),
            Local::Dhcp(message) => dhcp::answer(outbox, message, &self.guest, self.name.as_deref()),
            Local::Echo(echo) => packet::echo_reply(outbox, &echo),
        }
    }

    /// Says what is to be said by now without being asked.
    pub(crate) fn tick(&mut self, now: Instant, outbox: &mut Outbox) -> Result<(), Dropped> {
        if self.advertise.is_some_and(|at| at <= now) { self.attached(now, outbox) } else { Ok(()) }
    }

    /// When there is something to be said without being asked.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.advertise
    }
}
