//! Bytes from one side to the other, straight between a ring and a socket of the host's: as many as are there
//! and fit, without waiting.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use smoltcp::socket::tcp::Socket;

use super::flow::{HostEnd, Inflow, Outflow};

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
    Ok(moved)
}
