//! The host's own sockets, made without waiting: dialling, and whether an address is the host's own.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use machine_core::network::GATEWAY;
use machine_core::policy::egress::Protocol;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getsockname, ipproto, socket_with, sockopt};

use crate::gatekeeper::Wanted;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// How far a dialled connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is open.
    Open,
    /// It becomes writable when that is known.
    Dialling,
}

/// What a guest wants that sends something there: behind the gateway's own address is the host's loopback.
pub(crate) fn wanted(to: SocketAddr, protocol: Protocol) -> Wanted {
    let address = to.ip().to_canonical();
    if address == IpAddr::V4(GATEWAY) {
        return Wanted::host(to.port(), protocol);
    }
    Wanted { address, port: to.port(), protocol, is_host: is_own(address) }
}

/// Begins a connection.
pub(crate) fn dial(to: SocketAddr) -> Result<(OwnedFd, Progress), Errno> {
    let socket = socket_with(family(to.ip()), SocketType::STREAM, FLAGS, Some(ipproto::TCP))?;
    tune(&socket);
    match connect(&socket, &to) {
        Ok(()) => Ok((socket, Progress::Open)),
        Err(Errno::INPROGRESS) => Ok((socket, Progress::Dialling)),
        Err(error) => Err(error),
    }
}

/// For a stream whose other end decided already what is sent together. A host that knows no better way is no
/// reason to give up.
pub(crate) fn tune(socket: impl AsFd) {
    let _ = sockopt::set_tcp_nodelay(socket, true);
}

/// What became of a dialled connection that is ready.
pub(crate) fn outcome(socket: impl AsFd) -> Result<(), Errno> {
    match sockopt::socket_error(socket) {
        Ok(outcome) => outcome,
        Err(error) => Err(error),
    }
}

/// The other end is to see a reset, not an end.
pub(crate) fn reset(socket: OwnedFd) {
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
}

/// Whether an address is one of this host's own: then what is connected to it comes from it, too. Nothing is
/// sent: the kernel's routes answer.
pub(crate) fn is_own(address: IpAddr) -> bool {
    let local = || -> io::Result<IpAddr> {
        let socket = socket_with(family(address), SocketType::DGRAM, FLAGS, Some(ipproto::UDP))?;
        connect(&socket, &SocketAddr::new(address, 9))?;
        Ok(SocketAddr::try_from(getsockname(&socket)?)?.ip())
    };
    address.to_canonical().is_loopback() || local().is_ok_and(|local| local.to_canonical() == address.to_canonical())
}

/// Whether the host has a way to IPv6 addresses outside: an address for documentation goes where most others go.
pub(crate) fn has_ipv6() -> bool {
    const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let route = || {
        let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, FLAGS, Some(ipproto::UDP))?;
        connect(&socket, &SocketAddr::new(IpAddr::V6(OUTSIDE), 9))
    };
    route().is_ok()
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_knows_itself() {
        for own in ["127.0.0.1", "127.3.2.1", "::1"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
