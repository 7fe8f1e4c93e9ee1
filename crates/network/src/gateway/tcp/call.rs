//! A host's connection to a forwarded port: the guest is called at its own address. If nobody answers there,
//! somebody may at its loopback, which an agent reaches.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use machine_core::network::{GATEWAY, GUEST};

use super::flow::{Ends, Far, Flow, HostEnd, Stage, Way};
use super::{End, FIRST_PORT, Tcp};
use crate::gateway::around::Around;
use crate::gateway::host;
use crate::gateway::slots::Key;

/// How long the guest may take to answer: a guest that sleeps is no better than one that does not listen.
const CALLING: Duration = Duration::from_secs(10);

impl Tcp {
    /// Whether one more can be called.
    pub(crate) fn has_room(&self) -> bool {
        self.flows.has_room()
    }

    /// Calls a port of the guest's for somebody who connected to the host.
    pub(crate) fn call(&mut self, around: &mut Around<'_>, port: u16, socket: OwnedFd) {
        host::tune(&socket);
        let guest = SocketAddr::new(IpAddr::V4(GUEST), port);
        let Some(other) = self.free_end(guest) else { return host::reset(socket) };
        let ends = Ends { guest, other };
        let Ok(mut line) = self.lines.lend() else { return host::reset(socket) };
        if self.stack.call(&mut line, guest, other).is_err() {
            self.lines.take_back(line);
            return host::reset(socket);
        }
        let stage = Stage::Calling { until: around.now + CALLING };
        let mut flow = Flow::new(ends, Way::In { port }, stage, Far::Host(HostEnd::new(socket)));
        flow.line = Some(line);
        let Some(key) = self.add(around, flow) else { return };
        if self.watch(around, key) { self.queue(key) } else { self.end(around, key, End::Reset) }
    }

    /// An end of ours that no connection to the guest's has.
    fn free_end(&mut self, guest: SocketAddr) -> Option<SocketAddr> {
        for _ in FIRST_PORT..=u16::MAX {
            let other = SocketAddr::new(IpAddr::V4(GATEWAY), self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.by_ends.contains_key(&Ends { guest, other }) {
                return Some(other);
            }
        }
        None
    }

    /// The guest ended a connection before its time, or did not answer.
    pub(super) fn cut(&mut self, around: &mut Around<'_>, key: Key) {
        let Some(Flow { stage, way, far: Far::Host(end), .. }) = self.flows.get(key) else {
            return self.end(around, key, End::Reset);
        };
        match (stage, way) {
            (Stage::Calling { .. }, Way::In { port }) => {
                let port = *port;
                let unheard = around.reactor.remove(&end.socket).is_ok().then(|| end.socket.try_clone());
                // The copy alone lives on: closing the other end of nothing resets nothing.
                if let Some(Ok(socket)) = unheard {
                    around.wishes.unheard.push((port, socket));
                    return self.end(around, key, End::Clean);
                }
                self.end(around, key, End::Reset);
            }
            (
                Stage::Dialling { .. }
                | Stage::Greeting { .. }
                | Stage::Calling { .. }
                | Stage::Held { .. }
                | Stage::Carrying
                | Stage::Draining
                | Stage::Cutting,
                Way::In { .. } | Way::Out { .. },
            ) => self.end(around, key, End::Reset),
        }
    }
}
