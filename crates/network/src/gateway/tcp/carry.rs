//! Bytes from one side to the other, straight between a ring and a socket of the host's: as many as are there
//! and fit, without waiting.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use smoltcp::socket::tcp::Socket;

use super::flow::{HostEnd, Inflow, Outflow};

/// A ring of this size has room for several of the largest segments.
const LARGE: usize = 1 << 18;

/// Whether something moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Bytes, or an end.
    Something,
    /// Nothing.
    Nothing,
}

impl Moved {
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Something { self } else { other }
    }
}

/// What the guest sent goes to the host, and then its end.
pub(super) fn to_host(guest: &mut Socket<'_>, host: &mut HostEnd) -> Result<Moved, Errno> {
    let mut moved = Moved::Nothing;
    while host.outflow == Outflow::Ready && guest.can_recv() {
        let put = guest.recv(|bytes| match send(&host.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => (sent, Ok(sent == bytes.len())),
            Err(error) => (0, Err(error)),
        });
        match put {
            Ok(Ok(whole)) => {
                moved = Moved::Something;
                // The rest would not have been taken, either.
                host.outflow = if whole { Outflow::Ready } else { Outflow::Full };
            }
            Ok(Err(Errno::AGAIN)) => host.outflow = Outflow::Full,
            Ok(Err(Errno::INTR)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    let said_all = !guest.may_recv();
    if said_all && host.outflow != Outflow::Ended {
        host.outflow = Outflow::Ended;
        moved = Moved::Something;
        shutdown(&host.socket, Shutdown::Write)?;
    }
    Ok(moved)
}

/// What the host sent goes to the guest, and then its end.
pub(super) fn to_guest(host: &mut HostEnd, guest: &mut Socket<'_>) -> Result<Moved, Errno> {
    let mut moved = Moved::Nothing;
    while matches!(host.inflow, Inflow::Ready | Inflow::Last) && guest.can_send() {
        let got = guest.send(|place| {
            let room = place.len();
            match recv(&host.socket, place, RecvFlags::DONTWAIT) {
                Ok((_, length)) => (length, Ok((length, room))),
                Err(error) => (0, Err(error)),
            }
        });
        match got {
            Ok(Ok((0, _))) => {
                host.inflow = Inflow::Ended;
                guest.close();
                return Ok(Moved::Something);
            }
            Ok(Ok((length, room))) => {
                moved = Moved::Something;
                // Less than there was room for was all: more will be told, but not after the end was.
                if length < room && host.inflow == Inflow::Ready {
                    host.inflow = Inflow::Empty;
                }
            }
            Ok(Err(Errno::AGAIN)) => host.inflow = Inflow::Empty,
            Ok(Err(Errno::INTR)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    // While there is more than fits, only full segments go: a guest that lags behind pays for each segment with
    // memory that Linux did not count when it told its window, and throws away what is beyond.
    guest.set_nagle_enabled(host.inflow == Inflow::Ready && guest.send_capacity() >= LARGE);
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use smoltcp::wire::{Ipv4Packet, TcpControl, TcpPacket, TcpSeqNumber};

    use super::super::lines::{Line, Lines};
    use super::super::stack::{Stack, endpoint};
    use super::*;
    use crate::packet::{ETHERNET, Outbox, samples};

    const GUEST: &str = "10.0.2.15:1234";
    const OTHER: &str = "203.0.113.10:80";
    /// Of a guest that names none.
    const SEGMENT: usize = 536;
    const WINDOW: usize = 65_535;

    /// A guest that takes nothing, connected to a host that says much.
    struct Lagging {
        now: Instant,
        stack: Stack,
        line: Line,
        outbox: Outbox,
        host: HostEnd,
        far: OwnedFd,
    }

    impl Lagging {
        fn new() -> Self {
            let (now, mut outbox) = (Instant::now(), Outbox::new(samples::guest().mac));
            let stack = Stack::new(now, 1, &mut outbox);
            let mut line = Lines::new().lend().unwrap();
            line.socket().listen(endpoint(samples::at(OTHER))).unwrap();
            let (ours, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
            let mut lagging = Self { now, stack, line, outbox, host: HostEnd::new(ours), far };
            lagging.hear(&samples::tcp(GUEST, OTHER, TcpControl::Syn, None, b""));
            let first = lagging.told()[0].0 + 1;
            let mut answer = samples::tcp(GUEST, OTHER, TcpControl::None, Some(first.0), b"");
            TcpPacket::new_unchecked(&mut answer[20..]).set_seq_number(TcpSeqNumber(1001));
            lagging.hear(&answer);
            lagging
        }

        fn hear(&mut self, packet: &[u8]) {
            self.stack.take(self.now, &mut self.line, packet, &mut self.outbox);
        }

        fn say(&mut self, bytes: &[u8]) {
            assert_eq!(send(&self.far, bytes, SendFlags::DONTWAIT), Ok(bytes.len()));
            self.host.inflow = Inflow::Ready;
            to_guest(&mut self.host, self.line.socket()).unwrap();
        }

        /// What the guest is sent: from where, and how much.
        fn told(&mut self) -> Vec<(TcpSeqNumber, usize)> {
            while self.stack.give(self.now, &mut self.line, &mut self.outbox) {}
            let frames = samples::taken(&mut self.outbox);
            let segments = frames.iter().map(|frame| {
                let packet = Ipv4Packet::new_checked(&frame[ETHERNET..]).unwrap();
                let segment = TcpPacket::new_checked(packet.payload()).unwrap();
                (segment.seq_number(), segment.payload().len())
            });
            segments.collect()
        }
    }

    #[test]
    fn a_host_that_says_more_than_fits_fills_whole_segments() {
        let mut lagging = Lagging::new();
        // More than fits is what makes it wait: the ring is large, so it is said in pieces.
        while lagging.line.socket().can_send() {
            lagging.say(&[1; 32 * 1024]);
        }
        lagging.host.inflow = Inflow::Ready;
        to_guest(&mut lagging.host, lagging.line.socket()).unwrap();
        let told = lagging.told();
        assert_eq!(told.len(), WINDOW / SEGMENT);
        assert!(told.iter().all(|(_, length)| *length == SEGMENT), "{told:?}");
    }

    #[test]
    fn a_host_that_said_all_waits_for_nothing() {
        let mut lagging = Lagging::new();
        lagging.say(b"a header");
        lagging.say(b"and what follows");
        let sum: usize = lagging.told().iter().map(|(_, length)| length).sum();
        assert_eq!(sum, 24);
        lagging.say(b"!");
        assert_eq!(lagging.told().len(), 1);
    }
}
