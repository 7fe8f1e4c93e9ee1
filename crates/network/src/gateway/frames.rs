//! A frame of the guest's goes to the part that it is for.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use machine_core::network::RESOLVER;

use super::Gateway;
use crate::packet::{self, Dropped, Packet};

impl Gateway {
    /// Looks at a frame, once.
    pub(super) fn frame(&mut self, now: Instant, frame: &[u8]) {
        let done = packet::read(frame, &self.guest).and_then(|packet| self.packet(now, packet));
        if let Err(reason) = done {
            self.shared.drops.count(reason);
        }
    }

    fn packet(&mut self, now: Instant, packet: Packet<'_>) -> Result<(), Dropped> {
        match packet {
            Packet::Tcp(segment) => {
                self.tcp.segment(&mut self.shared.around(now), &segment);
                Ok(())
            }
            Packet::Udp(datagram) => self.datagram(now, &datagram),
            Packet::Echo(echo) => self.echo(now, &echo),
            Packet::Refused(refused) => {
                self.unheard(&refused);
                Ok(())
            }
            Packet::Local(local) => {
                self.look_around(now);
                self.neighbours.answer(&local, &mut self.shared.outbox)
            }
            Packet::Fragment(fragment) => match self.reassembly.add(now, &fragment, &mut self.shared.drops) {
                None => Ok(()),
                Some(whole) => {
                    let packet = packet::read_ip(&whole, &self.guest)?;
                    match packet {
                        // A packet of fragments is not a fragment.
                        Packet::Fragment(_) => Err(Dropped::Malformed),
                        whole @ (Packet::Tcp(_)
                        | Packet::Udp(_)
                        | Packet::Echo(_)
                        | Packet::Refused(_)
                        | Packet::Local(_)) => self.packet(now, whole),
                    }
                }
            },
        }
    }
}

/// Whether it is for our resolver, at any port.
pub(super) fn is_for_resolver(destination: SocketAddr) -> bool {
    destination.ip() == IpAddr::V4(RESOLVER)
}
