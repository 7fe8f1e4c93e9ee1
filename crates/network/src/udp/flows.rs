//! The guest's own flows: one connected socket of the host's for each pair of ends.
//!
//! ```text
//! open ──▶ Asked ──reply──▶ Answered      forgotten after 30 s / 60 s without a datagram; 10 s for DNS
//! ```

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::socket::{self, LARGEST, Received};
use super::table::Table;
use crate::gateway::reactor::{Interest, Reactor, Source, Token};
use crate::gateway::slots::Key;
use crate::packet::{self, Dropped, Drops, Outbox, Udp};

/// How many flows a guest may have at a time.
const FLOWS: usize = 1024;
/// How long a flow stays on which both sides spoke.
const ANSWERED: Duration = Duration::from_secs(60);
/// How long a flow stays that was never answered.
const ASKED: Duration = Duration::from_secs(30);
/// How long a flow stays that asks a name service: it ends with its answer.
const NAMES: Duration = Duration::from_secs(10);
const DOMAIN: u16 = 53;
/// How many datagrams one flow is read before others have their turn.
const AT_ONCE: usize = 64;

/// The flows.
pub(crate) struct UdpFlows {
    table: Table<(SocketAddr, SocketAddr), Open>,
    buffer: Box<[u8]>,
}

/// One flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The guest's end.
    pub(crate) guest: SocketAddr,
    /// The other end, as the guest knows it.
    pub(crate) shown: SocketAddr,
    /// The other end, as the host does.
    pub(crate) dial: SocketAddr,
}

#[derive(Debug)]
struct Open {
    flow: Flow,
    socket: OwnedFd,
    heard: Heard,
}

#[derive(Debug, Clone, Copy)]
enum Heard {
    Asked,
    Answered,
}

impl UdpFlows {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { table: Table::new(FLOWS), buffer: vec![0; LARGEST].into() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The flow of this datagram; where there is none, it is to be judged, and then opened.
    pub(crate) fn find(&self, datagram: &Udp<'_>) -> Option<Key> {
        self.table.find(&(datagram.source, datagram.destination))
    }

    /// Opens the flow of this datagram, to where it was allowed to go.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        datagram: &Udp<'_>,
        dial: SocketAddr,
        reactor: &Reactor,
    ) -> Result<Key, Dropped> {
        let flow = Flow { guest: datagram.source, shown: datagram.destination, dial };
        let socket = socket::udp(dial)?;
        let opened = Open { flow, socket, heard: Heard::Asked };
        let (key, _closed) = self.table.insert(now, (flow.guest, flow.shown), idle(&opened), opened);
        let key = key.ok_or(Dropped::NoSocket)?;
        let opened = self.table.get(key).ok_or(Dropped::NoSocket)?;
        if reactor.add(&opened.socket, Token::new(Source::Udp, key), Interest::READ).is_err() {
            self.table.remove(key);
            return Err(Dropped::NoSocket);
        }
        Ok(key)
    }

    /// Sends a datagram of the guest's on. If an earlier one did not arrive, the guest is told.
    pub(crate) fn send(&mut self, now: Instant, key: Key, payload: &[u8], outbox: &mut Outbox) -> Result<(), Dropped> {
        let open = self.table.get(key).ok_or(Dropped::NoSocket)?;
        let (sent, told) = socket::send(&open.socket, payload);
        let (flow, idle) = (open.flow, idle(open));
        self.table.touch(now, key, idle);
        if let Some(reason) = told {
            packet::unreachable_flow(outbox, flow.guest, flow.shown, reason)?;
        }
        sent
    }

    /// Its socket has something for the guest.
    pub(crate) fn ready(&mut self, now: Instant, key: Key, outbox: &mut Outbox, drops: &mut Drops) {
        let Some(open) = self.table.get_mut(key) else { return };
        for _ in 0..AT_ONCE {
            let put = match socket::receive(&open.socket, &mut self.buffer) {
                Received::Nothing => break,
                Received::Unreachable(reason) => {
                    packet::unreachable_flow(outbox, open.flow.guest, open.flow.shown, reason)
                }
                Received::Datagram(length) => {
                    open.heard = Heard::Answered;
                    packet::udp(outbox, open.flow.shown, open.flow.guest, &self.buffer[..length])
                }
            };
            if let Err(reason) = put {
                drops.count(reason);
            }
        }
        let idle = idle(open);
        self.table.touch(now, key, idle);
    }

    /// Closes the flows that may be no longer: the rules were changed.
    pub(crate) fn retain(&mut self, mut may: impl FnMut(&Flow) -> bool) {
        self.table.take_unless(|_, open| may(&open.flow));
    }

    /// Closes the flows that nobody used for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.table.expire(now);
    }

    /// When to do so next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.table.next_deadline()
    }
}

fn idle(open: &Open) -> Duration {
    match (open.flow.shown.port(), open.heard) {
        (DOMAIN, _) => NAMES,
        (_, Heard::Asked) => ASKED,
        (_, Heard::Answered) => ANSWERED,
    }
}
