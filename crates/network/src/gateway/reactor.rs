//! Waits for whatever becomes ready first: a descriptor, or a deadline. Knows nothing of what is behind a token.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::slots::Key;

/// What a descriptor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Source {
    /// The socket to the VMM.
    Link,
    /// The socket where servers knock.
    Control,
    /// One server.
    Client,
    /// A listening socket of a forward.
    Forward,
    /// The host's end of a TCP connection.
    Tcp,
    /// The host's end of a UDP flow.
    Udp,
    /// A forwarded UDP port.
    UdpForward,
    /// A ping socket.
    Echo,
    /// The questions to the host's resolvers.
    Upstream,
}

const SOURCES: [Source; 9] = [
    Source::Link,
    Source::Control,
    Source::Client,
    Source::Forward,
    Source::Tcp,
    Source::Udp,
    Source::UdpForward,
    Source::Echo,
    Source::Upstream,
];

/// Which descriptor. An event of one that is gone finds nothing in its owner's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    /// Whose it is.
    pub(crate) source: Source,
    /// Which of the owner's.
    pub(crate) key: Key,
}

/// What is waited for. Errors and hang-ups always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interest(EventFlags);

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready(EventFlags);

/// Something is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// What.
    pub(crate) token: Token,
    /// For what.
    pub(crate) ready: Ready,
}

/// The waiting itself.
#[derive(Debug)]
pub(crate) struct Reactor {
    epoll: OwnedFd,
}

/// Room for what one wait brings.
pub(crate) struct Events {
    raw: Vec<epoll::Event>,
}

const EVENTS: usize = 256;

impl Token {
    /// The token of one of many.
    pub(crate) const fn new(source: Source, key: Key) -> Self {
        Self { source, key }
    }

    /// The token of the only one.
    pub(crate) const fn only(source: Source) -> Self {
        Self { source, key: Key { index: 0, generation: 0 } }
    }

    /// 8 bits of source, 24 of generation, 32 of index.
    const fn pack(self) -> u64 {
        ((self.source as u64) << 56) | ((self.key.generation as u64 & 0xff_ffff) << 32) | self.key.index as u64
    }

    fn unpack(word: u64) -> Option<Self> {
        let [source, rest @ ..] = word.to_be_bytes();
        let [g0, g1, g2, index @ ..] = rest;
        let key = Key { index: u32::from_be_bytes(index), generation: u32::from_be_bytes([0, g0, g1, g2]) };
        Some(Self { source: *SOURCES.get(usize::from(source))?, key })
    }
}

impl Interest {
    /// Nothing but errors and hang-ups.
    pub(crate) const NONE: Self = Self(EventFlags::empty());
    /// Bytes, connections, or the end.
    pub(crate) const READ: Self = Self(EventFlags::IN);
    /// Room.
    pub(crate) const WRITE: Self = Self(EventFlags::OUT);
    /// Both, told once each time something changes, and the other side's end too: its owner must remember
    /// what it was told until it met `WouldBlock`.
    pub(crate) const CHANGES: Self =
        Self(EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET));

    /// This and that.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }
}

impl Ready {
    /// A read would not block: it brings bytes, the end, or an error.
    pub(crate) const fn to_read(self) -> bool {
        self.0.intersects(EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::HUP).union(EventFlags::ERR))
    }

    /// A write would not block: it takes bytes or brings an error.
    pub(crate) const fn to_write(self) -> bool {
        self.0.intersects(EventFlags::OUT.union(EventFlags::HUP).union(EventFlags::ERR))
    }

    /// After what is there, nothing more will come.
    pub(crate) const fn is_ended(self) -> bool {
        self.0.intersects(EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR))
    }
}

impl Reactor {
    /// One that waits for nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Waits for this, too. It is forgotten when the descriptor is closed.
    pub(crate) fn add(&self, descriptor: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, EventData::new_u64(token.pack()), interest.0)?)
    }

    /// Waits for something else of it.
    pub(crate) fn change(&self, descriptor: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, descriptor, EventData::new_u64(token.pack()), interest.0)?)
    }

    /// Waits for it no longer: for descriptors that live on elsewhere.
    pub(crate) fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, descriptor)?)
    }

    /// Waits until something is ready or the deadline, if any, has passed.
    pub(crate) fn wait(&self, events: &mut Events, now: Instant, deadline: Option<Instant>) -> io::Result<()> {
        let timeout = deadline.map(|deadline| whole_milliseconds(deadline.saturating_duration_since(now)));
        events.raw.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events.raw), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Rounded up: woken a moment early, we would spin until the deadline.
fn whole_milliseconds(left: std::time::Duration) -> Timespec {
    const DAY: u128 = 24 * 60 * 60 * 1000;
    let millis = left.as_nanos().div_ceil(1_000_000).min(DAY);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    Timespec { tv_sec: seconds.try_into().unwrap_or(0), tv_nsec: (rest * 1_000_000).try_into().unwrap_or(0) }
}

impl Events {
    /// Room for some; what does not fit is told at the next wait.
    pub(crate) fn new() -> Self {
        Self { raw: Vec::with_capacity(EVENTS) }
    }

    /// What is ready.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> {
        self.raw.iter().filter_map(|event| {
            // The kernel's struct is packed: copy before looking.
            let (data, flags) = (event.data, event.flags);
            Some(Event { token: Token::unpack(data.u64())?, ready: Ready(flags) })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    fn key(index: u32, generation: u32) -> Key {
        Key { index, generation }
    }

    #[test]
    fn a_token_survives_the_kernel() {
        for source in SOURCES {
            for key in [key(0, 0), key(u32::MAX, 0xff_ffff), key(7, 9)] {
                let token = Token::new(source, key);
                assert_eq!(Token::unpack(token.pack()), Some(token));
            }
        }
        assert_eq!(Token::unpack(u64::MAX), None);
    }

    #[test]
    fn what_becomes_ready_is_told_by_its_token() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (reactor, mut events) = (Reactor::new().unwrap(), Events::new());
        let token = Token::new(Source::Udp, key(3, 4));
        reactor.add(&ours, token, Interest::READ).unwrap();
        let now = Instant::now();
        reactor.wait(&mut events, now, Some(now)).unwrap();
        assert_eq!(events.iter().count(), 0);
        theirs.write_all(b"x").unwrap();
        reactor.wait(&mut events, now, Some(now + Duration::from_secs(60))).unwrap();
        let event = events.iter().next().unwrap();
        assert_eq!((event.token, event.ready.to_read(), event.ready.is_ended()), (token, true, false));
        reactor.change(&ours, token, Interest::NONE).unwrap();
        reactor.wait(&mut events, now, Some(now)).unwrap();
        assert_eq!(events.iter().count(), 0);
        drop(theirs);
        reactor.wait(&mut events, now, None).unwrap();
        assert!(events.iter().next().unwrap().ready.is_ended());
    }

    #[test]
    fn a_deadline_is_never_met_early() {
        assert_eq!(whole_milliseconds(Duration::from_nanos(1)).tv_nsec, 1_000_000);
        assert_eq!(whole_milliseconds(Duration::from_millis(1500)).tv_sec, 1);
        assert_eq!(whole_milliseconds(Duration::ZERO).tv_nsec, 0);
    }
}
