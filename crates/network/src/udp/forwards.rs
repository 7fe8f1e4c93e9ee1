//! Forwarded ports: datagrams that come to a port of the host's go to the guest, answers go back to who asked.
//! Each of the host's peers is shown to the guest as a port of the gateway's own.
//!
//! ```text
//!          ┌─────────────── its relay ended ──────────────┐
//!          ▼                                              │
//! (new) ─▶ Guest ──the guest refuses: Unheard──▶ (relay) ─▶ Relay      forgotten after 60 s without a datagram
//!          to its own address                               to its loopback, through a server
//! ```

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use machine_core::network::{Forward, GATEWAY, GUEST};
use rustix::net::{RecvFlags, SendFlags};

use super::socket::{self, LARGEST, Received};
use super::table::Table;
use crate::gateway::reactor::{Interest, Reactor, Source, Token};
use crate::gateway::slots::{Key, Slots};
use crate::packet::{self, Dropped, Drops, Outbox, Refused, Udp};

/// How many forwarded ports, with the relays of their peers.
const SOCKETS: usize = 512;
/// How many peers may have said something lately, over all ports.
const PEERS: usize = 256;
/// How long a peer stays that says and hears nothing.
const IDLE: Duration = Duration::from_secs(60);
/// The gateway's ports that stand for peers.
const FIRST_PORT: u16 = 49_152;
/// The most of a first datagram that is kept, in case the guest's own address refuses it.
const KEPT: usize = 2048;
/// How many datagrams one socket is read before others have their turn.
const AT_ONCE: usize = 64;

/// The ports and their peers.
pub(crate) struct UdpForwards {
    sockets: Slots<Socket>,
    peers: Table<(Key, SocketAddr), Peer>,
    ports: HashMap<u16, Key>,
    next_port: u16,
    buffer: Box<[u8]>,
}

/// Nobody listens at the guest's own address: a server may relay the peer to the guest's loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unheard {
    /// Whose datagrams.
    pub(crate) peer: Key,
    /// Of which forward.
    pub(crate) forward: Forward,
}

enum Socket {
    Listener { forward: Forward, socket: OwnedFd },
    Relay { peer: Key, socket: OwnedFd },
}

struct Peer {
    listener: Key,
    address: SocketAddr,
    guest: u16,
    port: u16,
    way: Way,
}

enum Way {
    /// To the guest's address. What was sent first, until there is an answer.
    Guest { first: Option<Box<[u8]>> },
    /// Over this socket.
    Relay { socket: Key },
}

impl UdpForwards {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            sockets: Slots::new(SOCKETS),
            peers: Table::new(PEERS),
            ports: HashMap::new(),
            next_port: FIRST_PORT,
            buffer: vec![0; LARGEST].into(),
        }
    }

    /// Forwards what comes to this socket, which is bound and does not block.
    pub(crate) fn add(&mut self, forward: Forward, socket: OwnedFd, reactor: &Reactor) -> io::Result<()> {
        self.watch(Socket::Listener { forward, socket }, reactor).map(|_| ())
    }

    /// Forwards it no longer.
    pub(crate) fn remove(&mut self, forward: &Forward) {
        let is_it = |socket: &Socket| match socket {
            Socket::Listener { forward: of, .. } => of == forward,
            Socket::Relay { .. } => false,
        };
        let found: Vec<Key> = self.sockets.iter().filter(|(_, socket)| is_it(socket)).map(|(key, _)| key).collect();
        for listener in found {
            self.sockets.remove(listener);
            let leaving = self.peers.take_unless(|&(of, _), _| of != listener);
            leaving.into_iter().for_each(|peer| self.forget(&peer));
        }
    }

    /// A socket has something: a listener, or a relay.
    pub(crate) fn ready(&mut self, now: Instant, key: Key, outbox: &mut Outbox, drops: &mut Drops) {
        for _ in 0..AT_ONCE {
            let goes_on = match self.sockets.get(key) {
                Some(&Socket::Listener { .. }) => self.take_of_host(now, key, outbox),
                Some(&Socket::Relay { peer, .. }) => self.take_of_relay(now, key, peer),
                None => return,
            };
            match goes_on {
                Ok(true) => (),
                Ok(false) => return,
                Err(reason) => drops.count(reason),
            }
        }
    }

    /// Takes a datagram of the guest's, if it answers one of a peer.
    pub(crate) fn takes(&mut self, now: Instant, datagram: &Udp<'_>) -> Option<Result<(), Dropped>> {
        let key = self.peer_of(datagram.destination, datagram.source)?;
        let peer = self.peers.get_mut(key)?;
        match &mut peer.way {
            Way::Guest { first } => *first = None,
            Way::Relay { .. } => (),
        }
        let (listener, address) = (peer.listener, peer.address);
        self.peers.touch(now, key, IDLE);
        Some(self.tell_host(listener, address, datagram.payload))
    }

    /// The guest refuses what it was sent: whose datagram it was, if it was a peer's.
    pub(crate) fn refused(&self, refused: &Refused) -> Option<Unheard> {
        let key = self.peer_of(refused.source, refused.destination)?;
        let peer = self.peers.get(key)?;
        match (&peer.way, self.sockets.get(peer.listener)?) {
            (Way::Guest { .. }, Socket::Listener { forward, .. }) => Some(Unheard { peer: key, forward: *forward }),
            (Way::Relay { .. }, _) | (_, Socket::Relay { .. }) => None,
        }
    }

    /// Sends a peer's datagrams over this socket of packets from now on, beginning with the one that was refused.
    pub(crate) fn relay(&mut self, peer: Key, socket: OwnedFd, reactor: &Reactor) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        if self.peers.get(peer).is_none() {
            return Err(gone());
        }
        let socket = self.watch(Socket::Relay { peer, socket }, reactor)?;
        let before = std::mem::replace(&mut self.peers.get_mut(peer).ok_or_else(gone)?.way, Way::Relay { socket });
        match before {
            Way::Guest { first: Some(first) } => {
                // If it does not go, the peer asks again, as peers of datagrams do.
                let _ = self.tell_relay(peer, socket, &first);
            }
            Way::Guest { first: None } => (),
            Way::Relay { socket: before } => {
                self.sockets.remove(before);
            }
        }
        Ok(())
    }

    /// Forgets the peers that said and heard nothing for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let leaving = self.peers.expire(now);
        leaving.into_iter().for_each(|peer| self.forget(&peer));
    }

    /// When to do so next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.peers.next_deadline()
    }

    /// How many peers there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }
}

impl UdpForwards {
    fn watch(&mut self, socket: Socket, reactor: &Reactor) -> io::Result<Key> {
        let no_room = || io::Error::from(io::ErrorKind::QuotaExceeded);
        let key = self.sockets.insert(socket).ok_or_else(no_room)?;
        let (Socket::Listener { socket, .. } | Socket::Relay { socket, .. }) =
            self.sockets.get(key).ok_or_else(no_room)?;
        if let Err(error) = reactor.add(socket, Token::new(Source::UdpForward, key), Interest::READ) {
            self.sockets.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Takes one datagram of a peer's; whether there may be more.
    fn take_of_host(&mut self, now: Instant, listener: Key, outbox: &mut Outbox) -> Result<bool, Dropped> {
        let Some(Socket::Listener { forward, socket }) = self.sockets.get(listener) else { return Ok(false) };
        let forward = *forward;
        let Ok((_, length, from)) = rustix::net::recvfrom(socket, &mut *self.buffer, RecvFlags::empty()) else {
            return Ok(false);
        };
        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(Dropped::Malformed)?;
        let key = self.peer(now, listener, from, (forward.guest, length))?;
        let Some(peer) = self.peers.get(key) else { return Ok(true) };
        match peer.way {
            Way::Guest { .. } => {
                let shown = SocketAddr::from((GATEWAY, peer.port));
                let datagram = &self.buffer[..length];
                packet::udp(outbox, shown, (GUEST, peer.guest).into(), datagram)?;
            }
            Way::Relay { socket } => {
                let datagram = self.buffer[..length].to_vec();
                self.tell_relay(key, socket, &datagram)?;
            }
        }
        Ok(true)
    }

    /// Takes one datagram of a relay's; whether there may be more.
    fn take_of_relay(&mut self, now: Instant, relay: Key, key: Key) -> Result<bool, Dropped> {
        let Some(Socket::Relay { socket, .. }) = self.sockets.get(relay) else { return Ok(false) };
        match socket::receive(socket, &mut self.buffer) {
            Received::Nothing => Ok(false),
            // An empty packet is how a socket of packets says that its other end is closed.
            Received::Datagram(0) | Received::Unreachable(_) => {
                self.end_relay(key, relay);
                Ok(false)
            }
            Received::Datagram(length) => {
                let Some(peer) = self.peers.get(key) else { return Ok(false) };
                let (listener, address) = (peer.listener, peer.address);
                self.peers.touch(now, key, IDLE);
                self.tell_host(listener, address, &self.buffer[..length]).map(|()| true)
            }
        }
    }

    fn tell_host(&self, listener: Key, to: SocketAddr, datagram: &[u8]) -> Result<(), Dropped> {
        match self.sockets.get(listener) {
            Some(Socket::Listener { socket, .. }) => {
                rustix::net::sendto(socket, datagram, SendFlags::NOSIGNAL, &to).map_err(|_| Dropped::HostFull)?;
                Ok(())
            }
            Some(Socket::Relay { .. }) | None => Err(Dropped::NoSocket),
        }
    }

    fn tell_relay(&mut self, peer: Key, relay: Key, datagram: &[u8]) -> Result<(), Dropped> {
        let Some(Socket::Relay { socket, .. }) = self.sockets.get(relay) else { return Err(Dropped::NoSocket) };
        if datagram.is_empty() {
            return Err(Dropped::Unanswered);
        }
        match rustix::net::send(socket, datagram, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::AGAIN) => Err(Dropped::HostFull),
            Err(_) => {
                self.end_relay(peer, relay);
                Err(Dropped::NoSocket)
            }
        }
    }

    /// The guest's own address is asked again.
    fn end_relay(&mut self, peer: Key, relay: Key) {
        self.sockets.remove(relay);
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.way = Way::Guest { first: None };
        }
    }

    /// The peer with this address, which sent the buffer's first `length` bytes to the guest's port; it may be new.
    fn peer(
        &mut self,
        now: Instant,
        listener: Key,
        address: SocketAddr,
        (guest, length): (u16, usize),
    ) -> Result<Key, Dropped> {
        if let Some(key) = self.peers.find(&(listener, address)) {
            self.peers.touch(now, key, IDLE);
            return Ok(key);
        }
        let port = self.free_port();
        let first = self.buffer.get(..length).filter(|first| first.len() <= KEPT).map(Into::into);
        let peer = Peer { listener, address, guest, port, way: Way::Guest { first } };
        let (key, pushed_out) = self.peers.insert(now, (listener, address), IDLE, peer);
        if let Some(peer) = pushed_out {
            self.forget(&peer);
        }
        let key = key.ok_or(Dropped::NoSocket)?;
        self.ports.insert(port, key);
        Ok(key)
    }

    /// There are more ports than peers, so one is free.
    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.ports.contains_key(&port) {
                return port;
            }
        }
    }

    fn peer_of(&self, shown: SocketAddr, guest: SocketAddr) -> Option<Key> {
        if shown.ip() != IpAddr::V4(GATEWAY) {
            return None;
        }
        let key = *self.ports.get(&shown.port())?;
        self.peers.get(key).filter(|peer| peer.guest == guest.port()).map(|_| key)
    }

    /// What a peer held, once it is out of the table.
    fn forget(&mut self, peer: &Peer) {
        self.ports.remove(&peer.port);
        match peer.way {
            Way::Guest { .. } => (),
            Way::Relay { socket } => {
                self.sockets.remove(socket);
            }
        }
    }
}
