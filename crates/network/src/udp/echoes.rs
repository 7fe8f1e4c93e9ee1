//! Echo requests to other hosts, over ping sockets. Their identifiers are the host's to choose: each program of
//! the guest that asks a host has a socket of its own, and hears its answers under its own identifier.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv4Repr, Icmpv6Message, Icmpv6Packet};

use super::socket::{self, LARGEST, Received};
use super::table::Table;
use crate::gateway::reactor::{Interest, Reactor, Source, Token};
use crate::gateway::slots::Key;
use crate::packet::{self, Dropped, Drops, Echo, Outbox};

/// How many programs and hosts at a time.
const ECHOES: usize = 128;
/// How long one stays that says nothing.
const IDLE: Duration = Duration::from_secs(30);
/// How many answers one is read before others have their turn.
const AT_ONCE: usize = 16;
/// Bytes of the message before the data.
const HEADER: usize = 8;

/// Who asks whom, under which identifier.
type Between = (IpAddr, IpAddr, u16);

/// The sockets.
pub(crate) struct Echoes {
    table: Table<Between, Open>,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
struct Open {
    between: Between,
    socket: OwnedFd,
}

impl Echoes {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { table: Table::new(ECHOES), buffer: vec![0; LARGEST].into() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The socket of this request; where there is none, it is to be judged, and then opened.
    pub(crate) fn find(&self, echo: &Echo<'_>) -> Option<Key> {
        self.table.find(&(echo.source, echo.destination, echo.identifier))
    }

    /// Opens the socket of this request.
    pub(crate) fn open(&mut self, now: Instant, echo: &Echo<'_>, reactor: &Reactor) -> Result<Key, Dropped> {
        let between = (echo.source, echo.destination, echo.identifier);
        let opened = Open { between, socket: socket::ping(echo.destination)? };
        let (key, _closed) = self.table.insert(now, between, IDLE, opened);
        let key = key.ok_or(Dropped::NoSocket)?;
        let opened = self.table.get(key).ok_or(Dropped::NoSocket)?;
        if reactor.add(&opened.socket, Token::new(Source::Echo, key), Interest::READ).is_err() {
            self.table.remove(key);
            return Err(Dropped::NoSocket);
        }
        Ok(key)
    }

    /// Sends a request on.
    pub(crate) fn send(&mut self, now: Instant, key: Key, echo: &Echo<'_>) -> Result<(), Dropped> {
        self.table.touch(now, key, IDLE);
        let open = self.table.get(key).ok_or(Dropped::NoSocket)?;
        let place = self.buffer.get_mut(..HEADER + echo.data.len()).ok_or(Dropped::Oversized)?;
        let request = Icmpv4Repr::EchoRequest { ident: 0, seq_no: echo.sequence, data: echo.data };
        request.emit(&mut Icmpv4Packet::new_unchecked(&mut *place), &ChecksumCapabilities::ignored());
        if echo.destination.is_ipv6() {
            // The two differ in their numbers alone; the kernel fills in identifier and checksum.
            Icmpv6Packet::new_unchecked(&mut *place).set_msg_type(Icmpv6Message::EchoRequest);
        }
        socket::send(&open.socket, place).0
    }

    /// Its socket has something for the guest.
    pub(crate) fn ready(&mut self, now: Instant, key: Key, outbox: &mut Outbox, drops: &mut Drops) {
        let Some(open) = self.table.get(key) else { return };
        for _ in 0..AT_ONCE {
            let length = match socket::receive(&open.socket, &mut self.buffer) {
                Received::Nothing => break,
                // Which of its requests it was about is not known.
                Received::Unreachable(_) => continue,
                Received::Datagram(length) => length,
            };
            let reply = reply(open.between, &self.buffer[..length]).ok_or(Dropped::Unanswered);
            if let Err(reason) = reply.and_then(|reply| packet::echo_reply(outbox, &reply)) {
                drops.count(reason);
            }
        }
        self.table.touch(now, key, IDLE);
    }

    /// Closes those that may be no longer: the rules were changed.
    pub(crate) fn retain(&mut self, mut may: impl FnMut(IpAddr) -> bool) {
        self.table.take_unless(|&(_, destination, _), _| may(destination));
    }

    /// Closes those that nobody used for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.table.expire(now);
    }

    /// When to do so next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.table.next_deadline()
    }
}

/// The answer, as one to the guest's request.
fn reply((source, destination, identifier): Between, message: &[u8]) -> Option<Echo<'_>> {
    let is_reply = if destination.is_ipv4() {
        Icmpv4Packet::new_checked(message).ok()?.msg_type() == Icmpv4Message::EchoReply
    } else {
        Icmpv6Packet::new_checked(message).ok()?.msg_type() == Icmpv6Message::EchoReply
    };
    let &[_, _, _, _, _, _, high, low, ref data @ ..] = message else { return None };
    let sequence = u16::from_be_bytes([high, low]);
    is_reply.then_some(Echo { source, destination, identifier, sequence, data, ip: &[] })
}
