//! The host's sockets for datagrams: none of them blocks, none is inherited.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};

use crate::packet::{Dropped, Reason};

/// More than the largest datagram.
pub(super) const LARGEST: usize = u16::MAX as usize;

/// What a socket had for us.
pub(super) enum Received {
    /// A datagram of so many bytes.
    Datagram(usize),
    /// Nothing at present.
    Nothing,
    /// An ICMP message about a datagram of ours.
    Unreachable(Reason),
}

/// A UDP socket that sends to this address, and hears only from it.
pub(super) fn udp(to: SocketAddr) -> Result<OwnedFd, Dropped> {
    connected(to, ipproto::UDP)
}

/// A socket for echo requests to this address; not every host lets everybody have one.
pub(super) fn ping(to: IpAddr) -> Result<OwnedFd, Dropped> {
    let protocol = if to.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
    connected(SocketAddr::new(to, 0), protocol)
}

fn connected(to: SocketAddr, protocol: Protocol) -> Result<OwnedFd, Dropped> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(protocol));
    let socket = socket.map_err(|_| Dropped::NoSocket)?;
    rustix::net::connect(&socket, &to).map_err(|error| match error {
        Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::ADDRNOTAVAIL => Dropped::NoWay,
        _ => Dropped::NoSocket,
    })?;
    Ok(socket)
}

/// Sends a datagram; with it may come what is known of an earlier one.
pub(super) fn send(socket: impl AsFd, datagram: &[u8]) -> (Result<(), Dropped>, Option<Reason>) {
    match rustix::net::send(&socket, datagram, SendFlags::NOSIGNAL) {
        Ok(_) => (Ok(()), None),
        // An earlier one's error takes the place of this one's sending.
        Err(Errno::CONNREFUSED) => {
            let again = rustix::net::send(&socket, datagram, SendFlags::NOSIGNAL);
            (again.map(|_| ()).map_err(|_| Dropped::HostFull), Some(Reason::Port))
        }
        Err(Errno::HOSTUNREACH | Errno::NETUNREACH) => (Err(Dropped::NoWay), Some(Reason::Host)),
        Err(Errno::MSGSIZE) => (Err(Dropped::Oversized), None),
        Err(_) => (Err(Dropped::HostFull), None),
    }
}

/// Takes a datagram; an error that says nothing of the way is as nothing.
pub(super) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Received {
    match rustix::net::recv(socket, buffer, RecvFlags::empty()) {
        Ok((_, length)) => Received::Datagram(length),
        Err(Errno::CONNREFUSED) => Received::Unreachable(Reason::Port),
        Err(Errno::HOSTUNREACH | Errno::NETUNREACH) => Received::Unreachable(Reason::Host),
        Err(_) => Received::Nothing,
    }
}
