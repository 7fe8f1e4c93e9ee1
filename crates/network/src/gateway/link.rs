//! The wire to the VMM's network card: a socket of whole packets. What comes is one frame a packet, after its
//! length; what goes is as many whole frames as the VMM takes in one packet.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::reactor::{Interest, Reactor, Source, Token};
use crate::packet::Outbox;
use crate::plan::LARGEST_PACKET;

/// Bytes that say how long the frame after them is.
const LENGTH: usize = 4;
/// What may be underway to the VMM, where the host lets us.
const UNDERWAY: usize = 1 << 20;

/// Our end.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    interest: Interest,
    buffer: Buffer,
}

/// Room for one packet. Lent to whoever receives, so that a frame can be looked at while all else is changed.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Box<[u8]>);

/// What came.
#[derive(Debug)]
pub(crate) enum Came<'a> {
    /// A frame.
    Frame(&'a [u8]),
    /// A packet that is none.
    Garbage,
    /// Nothing now.
    Nothing,
    /// The VMM is gone.
    End,
}

/// What became of what waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is all gone.
    All,
    /// The VMM takes no more for now.
    Some,
}

impl Link {
    /// The end that was inherited.
    pub(crate) fn new(socket: OwnedFd, reactor: &Reactor) -> io::Result<Self> {
        // Without the right to more, the host's limit holds; either is a wish.
        if sockopt::set_socket_send_buffer_size_force(&socket, UNDERWAY).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(&socket, UNDERWAY);
        }
        let interest = Interest::READ;
        reactor.add(&socket, Token::only(Source::Link), interest)?;
        Ok(Self { socket, interest, buffer: Buffer(vec![0; LARGEST_PACKET].into()) })
    }

    /// Lends the buffer.
    pub(crate) fn lend(&mut self) -> Buffer {
        std::mem::take(&mut self.buffer)
    }

    /// Takes it back.
    pub(crate) fn give_back(&mut self, buffer: Buffer) {
        self.buffer = buffer;
    }

    /// The next frame.
    pub(crate) fn receive<'a>(&self, Buffer(buffer): &'a mut Buffer) -> io::Result<Came<'a>> {
        // Flags of the socket itself are shared with whoever keeps it for our successor.
        let length = loop {
            match recv(&self.socket, &mut **buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => break length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Came::Nothing),
                Err(Errno::CONNRESET) => return Ok(Came::End),
                Err(error) => return Err(error.into()),
            }
        };
        let came = buffer.get(..length).unwrap_or_default();
        Ok(match came.split_first_chunk::<LENGTH>() {
            None if came.is_empty() => Came::End,
            Some((told, frame)) if u32::from_be_bytes(*told).try_into() == Ok(frame.len()) => Came::Frame(frame),
            None | Some(_) => Came::Garbage,
        })
    }

    /// Sends what waits, as far as the VMM takes it.
    pub(crate) fn send(&self, outbox: &mut Outbox) -> io::Result<Sent> {
        while !outbox.is_empty() {
            match send(&self.socket, outbox.waiting(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => outbox.sent(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(Sent::Some),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Sent::All)
    }

    /// Waits for what can be used: frames only while their answers have room, room only while something waits.
    pub(crate) fn attend(&mut self, reactor: &Reactor, outbox: &Outbox) -> io::Result<()> {
        let interest = match (outbox.has_room(), outbox.is_empty()) {
            (true, true) => Interest::READ,
            (true, false) => Interest::READ.and(Interest::WRITE),
            (false, _) => Interest::WRITE,
        };
        if interest != self.interest {
            reactor.change(&self.socket, Token::only(Source::Link), interest)?;
            self.interest = interest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use smoltcp::wire::EthernetAddress;

    use super::*;

    fn linked() -> (Link, OwnedFd, Reactor) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let reactor = Reactor::new().unwrap();
        (Link::new(ours, &reactor).unwrap(), theirs, reactor)
    }

    fn outbox_with(frames: &[usize]) -> Outbox {
        let mut outbox = Outbox::new(EthernetAddress([2; 6]));
        for (number, &length) in frames.iter().enumerate() {
            outbox.ip(length, |place| place.fill(u8::try_from(number).unwrap())).unwrap();
        }
        outbox
    }

    /// The frames' lengths in the next packet.
    fn packet(from: &OwnedFd) -> Vec<usize> {
        let mut buffer = vec![0; LARGEST_PACKET + 1];
        let (_, length) = recv(from, &mut *buffer, RecvFlags::DONTWAIT).unwrap();
        let (mut rest, mut lengths) = (&buffer[..length], Vec::new());
        while let Some((told, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*told) as usize;
            lengths.push(length);
            rest = &after[length..];
        }
        lengths
    }

    #[test]
    fn frames_go_together_but_whole() {
        let (link, theirs, _reactor) = linked();
        let mut outbox = outbox_with(&[40, 60, 65_520, 65_520, 100]);
        assert_eq!(link.send(&mut outbox).unwrap(), Sent::All);
        assert_eq!(packet(&theirs), [54, 74, 65_534]);
        assert_eq!(packet(&theirs), [65_534, 114]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_a_slow_vmm_does_not_take_stays_in_order() {
        let (mut link, theirs, reactor) = linked();
        let mut sent = 0;
        let mut outbox = outbox_with(&[]);
        loop {
            while outbox.has_room() {
                outbox.ip(60_000, |_| ()).unwrap();
                sent += 1;
            }
            if link.send(&mut outbox).unwrap() == Sent::Some && !outbox.has_room() {
                break;
            }
        }
        link.attend(&reactor, &outbox).unwrap();
        assert_eq!(link.interest, Interest::WRITE);
        let mut got = 0;
        while got < sent {
            got += packet(&theirs).len();
            link.send(&mut outbox).unwrap();
        }
        link.attend(&reactor, &outbox).unwrap();
        assert_eq!(link.interest, Interest::READ);
    }

    #[test]
    fn packets_that_are_no_frame_are_told_from_the_end() {
        let (mut link, theirs, _reactor) = linked();
        let mut buffer = link.lend();
        for garbage in [&b"\0\0"[..], b"\0\0\0\x05abc", b"\xff\xff\xff\xffabc"] {
            send(&theirs, garbage, SendFlags::empty()).unwrap();
            assert!(matches!(link.receive(&mut buffer).unwrap(), Came::Garbage));
        }
        send(&theirs, b"\0\0\0\x03abc", SendFlags::empty()).unwrap();
        assert!(matches!(link.receive(&mut buffer).unwrap(), Came::Frame(b"abc")));
        assert!(matches!(link.receive(&mut buffer).unwrap(), Came::Nothing));
        drop(theirs);
        assert!(matches!(link.receive(&mut buffer).unwrap(), Came::End));
    }
}
