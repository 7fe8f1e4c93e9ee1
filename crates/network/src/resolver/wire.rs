//! A socket to one server of the host's, for one question: never blocks, and has a port that nobody can foresee,
//! since the kernel chooses one at random for each.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use machine_core::network::Transport;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, netdevice, recv, send, socket_with,
};

use super::frames::{Frames, framed};

/// More than we say that we take, so that what is longer is seen to be.
const LONGEST_DATAGRAM: usize = 4096;

/// A question on its way.
#[derive(Debug)]
pub(super) struct Wire {
    socket: OwnedFd,
    carries: Carries,
}

#[derive(Debug)]
enum Carries {
    Datagrams,
    Stream { unsent: Vec<u8>, frames: Frames },
}

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    Message(Vec<u8>),
    Nothing,
}

impl Wire {
    /// Asks.
    pub(super) fn open(server: SocketAddr, transport: Transport, question: &[u8]) -> io::Result<Self> {
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let kind = match transport {
            Transport::Udp => SocketType::DGRAM,
            Transport::Tcp => SocketType::STREAM,
        };
        let socket = socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        match connect(&socket, &server) {
            // A connected socket hears its peer alone.
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let carries = match transport {
            Transport::Udp => {
                send(&socket, question, SendFlags::NOSIGNAL)?;
                Carries::Datagrams
            }
            Transport::Tcp => Carries::Stream { unsent: framed(question), frames: Frames::default() },
        };
        Ok(Self { socket, carries })
    }

    /// What to wait for.
    pub(super) fn interest(&self) -> EventFlags {
        match &self.carries {
            Carries::Stream { unsent, .. } if !unsent.is_empty() => EventFlags::IN | EventFlags::OUT,
            Carries::Datagrams | Carries::Stream { .. } => EventFlags::IN,
        }
    }

    /// Goes on: sends what is unsent, and takes one message, if there is one. An error is the end of it.
    pub(super) fn receive(&mut self) -> io::Result<Received> {
        match &mut self.carries {
            Carries::Datagrams => datagram(&self.socket),
            Carries::Stream { unsent, frames } => {
                send_some(&self.socket, unsent)?;
                stream(&self.socket, frames)
            }
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn datagram(socket: &OwnedFd) -> io::Result<Received> {
    let mut buffer = [0; LONGEST_DATAGRAM];
    match recv(socket, &mut buffer, RecvFlags::empty()) {
        Ok((count, _)) => Ok(Received::Message(buffer[..count].to_vec())),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
        Err(error) => Err(error.into()),
    }
}

fn send_some(socket: &OwnedFd, unsent: &mut Vec<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        match send(socket, unsent, SendFlags::NOSIGNAL) {
            Ok(count) => drop(unsent.drain(..count)),
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn stream(socket: &OwnedFd, frames: &mut Frames) -> io::Result<Received> {
    let mut buffer = [0; LONGEST_DATAGRAM];
    loop {
        if let Some(message) = frames.take() {
            return Ok(Received::Message(message));
        }
        match recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => frames.push(&buffer[..count]),
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The number of a link, by its name.
pub(super) fn scope(link: &str) -> Option<u32> {
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    netdevice::name_to_index(&socket, link).ok()
}
