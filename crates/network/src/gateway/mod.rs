//! The gateway itself: one thread, one loop over everything that can become ready.
//!
//! ```text
//!   VMM ◀──link──▶ frames ──read──▶ neighbour, udp, resolver, tcp ──▶ the host's sockets
//!                    ▲                        │ rules: gatekeeper
//!                    └───────outbox───────────┘
//! ```
//! After each wait: what became ready is looked at, those whose time came are, connections get turns, and what
//! waits for the guest is sent. Nothing here blocks but the wait.

pub(crate) mod around;
mod datagrams;
mod flows_file;
mod forwards;
mod frames;
pub(crate) mod host;
mod link;
mod obey;
pub(crate) mod reactor;
mod shared;
pub(crate) mod slots;
pub(crate) mod tcp;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use machine_core::network::NetworkSpec;
use smoltcp::wire::EthernetAddress;

use crate::control::{Clients, Doing};
use crate::gatekeeper::Gatekeeper;
use crate::neighbour::Neighbours;
use crate::packet::{self, Guest, Ipv6, Reassembly};
use crate::plan::GatewayPlan;
use crate::refusals::Refusals;
use crate::resolver::{self, Resolver};
use crate::udp::{Echoes, UdpFlows, UdpForwards};
pub(crate) use flows_file::FlowsFile;
use forwards::Forwards;
use link::{Came, Link, Sent};
use reactor::{Event, Events, Reactor, Source, Token};
use shared::Shared;
use tcp::{Ends, Tcp};

/// Frames that are taken before others have their turn.
const FRAMES: usize = 64;
/// How often it is looked whether the host has IPv6, at most.
const LOOK: Duration = Duration::from_secs(10);

/// Why a gateway ended. Its supervisor starts another.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Something could not be read, opened or set.
    #[error("cannot {what}")]
    Trying {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The VMM closed its end of the wire.
    #[error("the VMM closed the wire")]
    Unplugged,
}

/// Says what was tried.
pub(crate) trait Trying<T> {
    /// Says what was tried.
    fn trying(self, what: &'static str) -> Result<T, GatewayError>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: &'static str) -> Result<T, GatewayError> {
        self.map_err(|source| GatewayError::Trying { what, source: source.into() })
    }
}

/// A machine's gateway.
pub(crate) struct Gateway {
    shared: Shared,
    link: Link,
    guest: Guest,
    /// When the host's ways were looked at.
    looked: Instant,
    neighbours: Neighbours,
    reassembly: Reassembly,
    resolver: Resolver,
    tcp: Tcp,
    flows: UdpFlows,
    echoes: Echoes,
    udp_forwards: UdpForwards,
    forwards: Forwards,
    clients: Clients,
    /// What is followed; nothing if we are closed.
    network: Option<NetworkSpec>,
    /// What a predecessor carried, and the guest has not been asked about yet.
    inherited: Vec<Ends>,
}

impl Gateway {
    /// Opens everything that takes rights. The first that fails ends it: whoever minds us starts another.
    pub(crate) fn new(plan: &GatewayPlan, wire: OwnedFd, refusals: Refusals) -> Result<Self, GatewayError> {
        let now = Instant::now();
        let reactor = Reactor::new().trying("wait for descriptors")?;
        let link = Link::new(wire, &reactor).trying("use the wire")?;
        let clients = Clients::listen(&plan.control).trying("listen for servers")?;
        clients.register(&reactor).trying("wait for servers")?;
        let (kept, inherited) = FlowsFile::take_over(&plan.flows, tcp::MOST).trying("keep the connections")?;
        let ipv6 = look_for_ipv6();
        let resolver = Resolver::new(now, &plan.resolver, resolver::PORT, for_resolver(ipv6));
        let resolver = resolver.trying("resolve names")?;
        reactor.add(&resolver, Token::only(Source::Upstream), reactor::Interest::READ).trying("wait for names")?;
        let guest = Guest { mac: EthernetAddress(plan.mac), ipv6 };
        let mut shared = Shared::new(reactor, guest.mac, Gatekeeper::closed("no rules yet"), refusals, kept);
        let seed = getrandom::u64().map_err(io::Error::other).trying("draw numbers")?;
        let tcp = Tcp::new(now, seed, &mut shared.outbox);
        let mut gateway = Self {
            shared,
            link,
            guest,
            looked: now,
            neighbours: Neighbours::new(guest, None),
            reassembly: Reassembly::default(),
            resolver,
            tcp,
            flows: UdpFlows::new(),
            echoes: Echoes::new(),
            udp_forwards: UdpForwards::new(),
            forwards: Forwards::new(),
            clients,
            network: None,
            inherited,
        };
        gateway.begin(&plan.network);
        Ok(gateway)
    }

    /// Runs until the VMM is gone.
    pub(crate) fn run(mut self) -> Result<(), GatewayError> {
        let mut events = Events::new();
        let now = Instant::now();
        // A guest whose neighbour cannot be told now hears of it when it asks.
        let _ = self.neighbours.attached(now, &mut self.shared.outbox);
        self.settle(now)?;
        loop {
            let now = Instant::now();
            self.shared.reactor.wait(&mut events, now, self.next_deadline()).trying("wait")?;
            let now = Instant::now();
            for event in events.iter() {
                self.take(now, event)?;
            }
            self.expire(now);
            self.settle(now)?;
        }
    }

    fn take(&mut self, now: Instant, Event { token, ready }: Event) -> Result<(), GatewayError> {
        let key = token.key;
        match token.source {
            Source::Link => return self.take_frames(now),
            Source::Control => self.clients.knocked(&self.shared.reactor),
            Source::Client => match self.clients.said(key) {
                Some(Doing::Asked(client, request, beside)) => self.obey(now, client, request, beside),
                Some(Doing::Left) | None => {}
            },
            Source::Forward => self.forwards.accept(&mut self.shared.around(now), key, &mut self.tcp),
            Source::Tcp => self.tcp.ready(&mut self.shared.around(now), key, ready),
            Source::Udp => self.flows.ready(now, key, &mut self.shared.outbox, &mut self.shared.drops),
            Source::UdpForward => self.udp_forwards.ready(now, key, &mut self.shared.outbox, &mut self.shared.drops),
            Source::Echo => self.echoes.ready(now, key, &mut self.shared.outbox, &mut self.shared.drops),
            Source::Upstream => self.resolver.ready(&mut self.shared.moment(now)),
        }
        Ok(())
    }

    fn take_frames(&mut self, now: Instant) -> Result<(), GatewayError> {
        for _ in 0..FRAMES {
            if !self.shared.outbox.has_room() {
                break;
            }
            // The buffer is lent out of the link while its frame is looked at.
            let mut buffer = self.link.lend();
            let goes_on = match self.link.receive(&mut buffer).trying("read the wire")? {
                Came::Frame(frame) => {
                    self.frame(now, frame);
                    true
                }
                Came::Garbage => {
                    self.shared.drops.count(packet::Dropped::Malformed);
                    true
                }
                Came::Nothing => false,
                Came::End => return Err(GatewayError::Unplugged),
            };
            self.link.give_back(buffer);
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Gives turns and sends until nothing can be done without waiting.
    fn settle(&mut self, now: Instant) -> Result<(), GatewayError> {
        loop {
            self.ask_about_inherited();
            let more = self.tcp.settle(&mut self.shared.around(now));
            let wished = self.fulfil(now);
            let sent = match self.link.send(&mut self.shared.outbox) {
                // It went while we had something to say: its end would be read next.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(GatewayError::Unplugged);
                }
                sent => sent.trying("write the wire")?,
            };
            match sent {
                Sent::All if more || wished == Wished::Something => {}
                Sent::All | Sent::Some => break,
            }
        }
        self.link.attend(&self.shared.reactor, &self.shared.outbox).trying("wait for the wire")
    }

    /// A guest that still has a connection of a predecessor's says so, and is told that it is no more.
    fn ask_about_inherited(&mut self) {
        while self.shared.outbox.has_room() {
            let Some(ends) = self.inherited.pop() else { return };
            if let Err(reason) = packet::provoke(&mut self.shared.outbox, ends.guest, ends.other) {
                self.shared.drops.count(reason);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        self.tcp.expire(now);
        self.flows.expire(now);
        self.echoes.expire(now);
        self.udp_forwards.expire(now);
        self.forwards.expire(now, &self.shared.reactor);
        self.reassembly.expire(now, &mut self.shared.drops);
        if let Err(reason) = self.neighbours.tick(now, &mut self.shared.outbox) {
            self.shared.drops.count(reason);
        }
        if self.resolver.next_deadline().is_some_and(|at| at <= now) {
            self.resolver.tick(&mut self.shared.moment(now));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let all = [
            self.tcp.next_deadline(),
            self.flows.next_deadline(),
            self.echoes.next_deadline(),
            self.udp_forwards.next_deadline(),
            self.forwards.next_deadline(),
            self.reassembly.next_deadline(),
            self.neighbours.next_deadline(),
            self.resolver.next_deadline(),
        ];
        all.into_iter().flatten().min()
    }

    /// The host may have found, or lost, its way to IPv6; looked at when the guest wants something.
    fn look_around(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        let ipv6 = look_for_ipv6();
        if ipv6 != self.guest.ipv6 {
            self.guest.ipv6 = ipv6;
            self.resolver.set_ipv6(for_resolver(ipv6));
            if let Err(reason) = self.neighbours.set_ipv6(now, ipv6, &mut self.shared.outbox) {
                self.shared.drops.count(reason);
            }
        }
    }
}

/// Whether a wish was fulfilled, which may leave more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wished {
    Something,
    Nothing,
}

fn look_for_ipv6() -> Ipv6 {
    if host::has_ipv6() { Ipv6::On } else { Ipv6::Off }
}

const fn for_resolver(ipv6: Ipv6) -> resolver::Ipv6 {
    match ipv6 {
        Ipv6::On => resolver::Ipv6::Route,
        Ipv6::Off => resolver::Ipv6::NoRoute,
    }
}
