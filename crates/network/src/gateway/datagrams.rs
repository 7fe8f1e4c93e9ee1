//! The guest's datagrams and echo requests: judged when they begin something, then sent on; names are asked for
//! at our own resolver.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use machine_core::network::{RESOLVER, Transport};
use machine_core::policy::egress::{Protocol, Verdict};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::frames::is_for_resolver;
use super::slots::Key;
use super::{Gateway, Wished, host};
use crate::control::Reply;
use crate::packet::{self, Dropped, Echo, Reason, Refused, Udp};
use crate::refusals::{Refusal, Refused as What};
use crate::resolver::{Asker, Outcome, PORT};

impl Gateway {
    pub(super) fn datagram(&mut self, now: Instant, datagram: &Udp<'_>) -> Result<(), Dropped> {
        if is_for_resolver(datagram.destination) {
            return self.question(now, datagram);
        }
        if let Some(answered) = self.udp_forwards.takes(now, datagram) {
            return answered;
        }
        let key = match self.flows.find(datagram) {
            Some(key) => key,
            None => {
                let wanted = host::wanted(datagram.destination, Protocol::Udp);
                if !self.may(now, &wanted, What::Udp) {
                    return packet::unreachable(&mut self.shared.outbox, datagram.ip, Reason::Prohibited);
                }
                let dial = SocketAddr::new(wanted.address, wanted.port);
                self.flows.open(now, datagram, dial, &self.shared.reactor)?
            }
        };
        self.flows.send(now, key, datagram.payload, &mut self.shared.outbox)
    }

    fn question(&mut self, now: Instant, datagram: &Udp<'_>) -> Result<(), Dropped> {
        if datagram.destination.port() != PORT {
            return packet::unreachable(&mut self.shared.outbox, datagram.ip, Reason::Port);
        }
        self.look_around(now);
        self.resolver.query(&mut self.shared.moment(now), Asker::Udp(datagram.source), datagram.payload);
        Ok(())
    }

    pub(super) fn echo(&mut self, now: Instant, echo: &Echo<'_>) -> Result<(), Dropped> {
        let key = match self.echoes.find(echo) {
            Some(key) => key,
            None => {
                let wanted = host::wanted(SocketAddr::new(echo.destination, 0), Protocol::Icmp);
                if !self.may(now, &wanted, What::Icmp) {
                    return packet::unreachable(&mut self.shared.outbox, echo.ip, Reason::Prohibited);
                }
                self.echoes.open(now, echo, &self.shared.reactor)?
            }
        };
        self.echoes.send(now, key, echo)
    }

    /// Whether it is allowed; a refusal is told.
    fn may(&mut self, now: Instant, wanted: &crate::gatekeeper::Wanted, what: What) -> bool {
        let decision = self.shared.keeper.judge(now, wanted);
        match decision.verdict {
            Verdict::Allow => true,
            Verdict::Deny => {
                let (address, port) = (Some(wanted.address), (wanted.port != 0).then_some(wanted.port));
                let refusal = Refusal { rule: decision.rule, what, address, port, name: None };
                self.shared.refusals.tell(now, refusal);
                false
            }
        }
    }

    /// Other rules: flows that may be no longer are closed.
    pub(super) fn judge_datagrams_again(&mut self, now: Instant) {
        let keeper = &self.shared.keeper;
        let allowed = |wanted| keeper.judge(now, &wanted).verdict == Verdict::Allow;
        self.flows.retain(|flow| allowed(host::wanted(flow.shown, Protocol::Udp)));
        self.echoes.retain(|address| allowed(host::wanted(SocketAddr::new(address, 0), Protocol::Icmp)));
    }

    /// The guest's own address refused a peer's datagram: its loopback may not.
    pub(super) fn unheard(&mut self, refused: &Refused) {
        let Some(unheard) = self.udp_forwards.refused(refused) else { return };
        if !self.clients.has_relay() {
            return;
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok((ours, theirs)) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None) else { return };
        if self.clients.hand_over(unheard.forward.guest, Transport::Udp, theirs).is_ok() {
            // If it cannot be watched it is closed, which the server sees.
            let _ = self.udp_forwards.relay(unheard.peer, ours, &self.shared.reactor);
        }
    }

    /// Does what connections want of others, and hands out what the resolver found.
    pub(super) fn fulfil(&mut self, now: Instant) -> Wished {
        let wishes = std::mem::take(&mut self.shared.wishes);
        let mut did = Wished::Nothing;
        for (key, question) in wishes.questions {
            self.resolver.query(&mut self.shared.moment(now), Asker::Tcp(number(key)), &question);
        }
        for key in wishes.silenced {
            self.resolver.forget(number(key));
        }
        for (port, socket) in wishes.unheard {
            self.relay(port, socket);
        }
        while let Some(outcome) = self.resolver.take() {
            did = Wished::Something;
            match outcome {
                Outcome::Reply { asker: Asker::Udp(asker), bytes } => {
                    let from = SocketAddr::new(IpAddr::V4(RESOLVER), PORT);
                    if let Err(reason) = packet::udp(&mut self.shared.outbox, from, asker, &bytes) {
                        self.shared.drops.count(reason);
                    }
                }
                Outcome::Reply { asker: Asker::Tcp(of), bytes } => self.tcp.answer(now, key(of), &bytes),
                Outcome::Found(found) => {
                    let client = key(found.id);
                    let explanation = found.explain(now, &self.shared.keeper, host::is_own);
                    self.clients.reply(client, &Reply::Explained(explanation));
                }
            }
        }
        did
    }

    fn relay(&mut self, port: u16, socket: OwnedFd) {
        if let Err(socket) = self.clients.hand_over(port, Transport::Tcp, socket) {
            host::reset(socket);
        }
    }
}

/// A key as the resolver keeps it, and back.
pub(super) fn number(key: Key) -> u64 {
    (u64::from(key.generation) << 32) | u64::from(key.index)
}

fn key(number: u64) -> Key {
    let [a, b, c, d, index @ ..] = number.to_be_bytes();
    Key { generation: u32::from_be_bytes([a, b, c, d]), index: u32::from_be_bytes(index) }
}
