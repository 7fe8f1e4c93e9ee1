//! Ports of the host that lead to the guest: who listens where. TCP's listeners are here; those of datagrams
//! are with their peers.
//!
//! ```text
//! Open ──the host has no more descriptors, or we no more room──▶ Paused ──a moment later──▶ Open
//! ```

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use machine_core::network::{Forward, Transport};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::around::Around;
use super::reactor::{Interest, Reactor, Source, Token};
use super::slots::{Key, Slots};
use super::tcp::Tcp;
use crate::udp::UdpForwards;

/// How many ports of streams may be forwarded.
pub(crate) const MOST: usize = 512;
/// How many are accepted before others have their turn.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);

/// All forwards.
pub(crate) struct Forwards {
    streams: Slots<Listener>,
    datagrams: Vec<Forward>,
    paused: Option<Instant>,
}

#[derive(Debug)]
struct Listener {
    forward: Forward,
    socket: OwnedFd,
}

impl Forwards {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self { streams: Slots::new(MOST), datagrams: Vec::new(), paused: None }
    }

    /// Whether somebody listens for it.
    pub(crate) fn has(&self, forward: &Forward) -> bool {
        match forward.transport {
            Transport::Tcp => self.streams.iter().any(|(_, listener)| listener.forward == *forward),
            Transport::Udp => self.datagrams.contains(forward),
        }
    }

    /// Leads what comes to this socket to the guest.
    pub(crate) fn add(
        &mut self,
        forward: Forward,
        socket: OwnedFd,
        reactor: &Reactor,
        datagrams: &mut UdpForwards,
    ) -> std::io::Result<()> {
        // Whoever bound it may have left it as it was.
        rustix::io::ioctl_fionbio(&socket, true)?;
        match forward.transport {
            Transport::Tcp => {
                let key = self.streams.insert(Listener { forward, socket }).ok_or(std::io::ErrorKind::QuotaExceeded)?;
                let listener = self.streams.get(key).ok_or(std::io::ErrorKind::NotFound)?;
                let watched = reactor.add(&listener.socket, Token::new(Source::Forward, key), Interest::READ);
                if watched.is_err() {
                    self.streams.remove(key);
                }
                watched
            }
            Transport::Udp => {
                datagrams.add(forward, socket, reactor)?;
                self.datagrams.push(forward);
                Ok(())
            }
        }
    }

    /// Listens only for these from now on.
    pub(crate) fn retain(&mut self, wanted: &[Forward], datagrams: &mut UdpForwards) {
        let gone = |(key, listener): (Key, &Listener)| (!wanted.contains(&listener.forward)).then_some(key);
        for key in self.streams.iter().filter_map(gone).collect::<Vec<_>>() {
            self.streams.remove(key);
        }
        self.datagrams.retain(|forward| {
            let stays = wanted.contains(forward);
            if !stays {
                datagrams.remove(forward);
            }
            stays
        });
    }

    /// Somebody connected.
    pub(crate) fn accept(&mut self, around: &mut Around<'_>, key: Key, tcp: &mut Tcp) {
        let Some(listener) = self.streams.get(key) else { return };
        for _ in 0..AT_ONCE {
            if !tcp.has_room() {
                return self.pause(around);
            }
            match accept_with(&listener.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => tcp.call(around, listener.forward.guest, socket),
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => return self.pause(around),
                // That one gave up already.
                Err(_) => {}
            }
        }
    }

    /// Nobody is accepted for a moment: they wait in the host's queue, and we do not spin.
    fn pause(&mut self, around: &Around<'_>) {
        self.paused = Some(around.now + PAUSE);
        self.attend(around.reactor, Interest::NONE);
    }

    /// Goes on after a pause.
    pub(crate) fn expire(&mut self, now: Instant, reactor: &Reactor) {
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
            self.attend(reactor, Interest::READ);
        }
    }

    /// When a pause is over.
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.paused
    }

    fn attend(&self, reactor: &Reactor, interest: Interest) {
        for (key, listener) in self.streams.iter() {
            // A listener that epoll knows can be changed; if not, its connections wait.
            let _ = reactor.change(&listener.socket, Token::new(Source::Forward, key), interest);
        }
    }
}
