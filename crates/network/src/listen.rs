//! Listening for forwards, by whoever has the right to: the server, so that a busy port is told at once with
//! who holds it, and a gateway that is started anew.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use machine_core::network::{Forward, Transport};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// Connections that wait to be accepted.
const WAITING: i32 = 1024;

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else does.
    #[error("{forward} is taken{}", held(.by))]
    Busy {
        /// Which forward.
        forward: Forward,
        /// Who, as `name (pid 12)`, where that can be seen.
        by: Option<String>,
    },
    /// The host does not let us.
    #[error("cannot listen for {forward}")]
    Refused {
        /// Which forward.
        forward: Forward,
        /// What the host said.
        source: io::Error,
    },
}

fn held(by: &Option<String>) -> String {
    by.as_deref().map(|by| format!(" (held by {by})")).unwrap_or_default()
}

/// Listens for a forward: the forward with the port that was chosen, if it had none, and the socket.
pub fn bind(forward: &Forward) -> Result<(Forward, OwnedFd), ListenError> {
    match try_bind(forward) {
        Ok((listen, socket)) => Ok((Forward { listen, ..*forward }, socket)),
        Err(Errno::ADDRINUSE) => {
            let by = who_holds(forward.listen, forward.transport);
            Err(ListenError::Busy { forward: *forward, by })
        }
        Err(error) => Err(ListenError::Refused { forward: *forward, source: error.into() }),
    }
}

fn try_bind(forward: &Forward) -> Result<(SocketAddr, OwnedFd), Errno> {
    let family = if forward.listen.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (kind, protocol) = match forward.transport {
        Transport::Tcp => (SocketType::STREAM, ipproto::TCP),
        Transport::Udp => (SocketType::DGRAM, ipproto::UDP),
    };
    let socket = rustix::net::socket_with(family, kind, flags, Some(protocol))?;
    if forward.listen.is_ipv6() {
        // `[::]` and `0.0.0.0` are two forwards.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    match forward.transport {
        Transport::Tcp => sockopt::set_socket_reuseaddr(&socket, true)?,
        // Of datagrams, two could then hold one port, and either would get some.
        Transport::Udp => {}
    }
    rustix::net::bind(&socket, &forward.listen)?;
    match forward.transport {
        Transport::Tcp => rustix::net::listen(&socket, WAITING)?,
        Transport::Udp => {}
    }
    let bound = rustix::net::getsockname(&socket)?;
    Ok((bound.try_into()?, socket))
}

/// Who listens there, or anywhere that keeps others from listening there: `name (pid 12)`. Other users'
/// processes can be seen by root alone.
#[must_use]
pub fn who_holds(address: SocketAddr, transport: Transport) -> Option<String> {
    let inode = holding_inode(address, transport)?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(process.path().join("fd")).ok()?.filter_map(Result::ok).any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        let said = |file: &str| {
            fs::read(process.path().join(file))
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default()
        };
        holds.then(|| format!("{} (pid {pid})", called(&said("comm"), &said("cmdline"))))
    })
}

/// What people call a process: the kernel's name for it, but the first word of its command line where it was started
/// by a link of `/proc`, as our own are.
fn called(comm: &str, command_line: &str) -> String {
    const LINK: &str = "exe";
    let comm = comm.trim_end();
    let first =
        command_line.split('\0').next().and_then(|word| word.rsplit('/').next()).filter(|word| !word.is_empty());
    match first {
        Some(first) if comm == LINK => first.to_owned(),
        Some(_) | None => comm.to_owned(),
    }
}

fn holding_inode(address: SocketAddr, transport: Transport) -> Option<u64> {
    let tables = match transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    tables.into_iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).filter_map(|line| read_row(line, transport)).find_map(|(held, inode)| {
            (held.port() == address.port() && overlap(held.ip(), address.ip())).then_some(inode)
        })
    })
}

/// The local address and inode of a row, if it holds a port.
fn read_row(line: &str, transport: Transport) -> Option<(SocketAddr, u64)> {
    /// `TCP_LISTEN`, and the state of a UDP socket that is bound alone.
    const LISTENING: &str = "0A";
    const UNCONNECTED: &str = "07";
    let mut columns = line.split_ascii_whitespace();
    let (_, local, _, state) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    let holds = match transport {
        Transport::Tcp => state == LISTENING,
        Transport::Udp => state == UNCONNECTED,
    };
    let inode = columns.nth(5)?.parse().ok()?;
    holds.then_some(())?;
    Some((read_address(local)?, inode))
}

/// Words of 32 bits, each as the host's memory has it: `0100007F:1F90`.
fn read_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match (<[u8; 4]>::try_from(&*bytes), <[u8; 16]>::try_from(&*bytes)) {
        (Ok(four), _) => IpAddr::V4(Ipv4Addr::from(four)),
        (Err(_), Ok(sixteen)) => IpAddr::V6(Ipv6Addr::from(sixteen)),
        (Err(_), Err(_)) => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// Whether a socket at the one keeps another from the other.
fn overlap(held: IpAddr, wanted: IpAddr) -> bool {
    let (held, wanted) = (held.to_canonical(), wanted.to_canonical());
    held == wanted || held.is_unspecified() || (wanted.is_unspecified() && held.is_ipv4() == wanted.is_ipv4())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_process_is_called_as_people_know_it() {
        assert_eq!(called("nginx\n", "nginx: worker\0"), "nginx");
        assert_eq!(called("exe\n", "/usr/bin/machine\0gateway\0x\0"), "machine");
        assert_eq!(called("exe\n", ""), "exe");
    }

    fn forward(text: &str) -> Forward {
        text.parse().unwrap()
    }

    #[test]
    fn a_port_is_chosen_and_somebody_listens_there() {
        let (bound, socket) = bind(&forward("0:80")).unwrap();
        assert_ne!(bound.listen.port(), 0);
        assert_eq!(bound.guest, 80);
        TcpStream::connect(bound.listen).unwrap();
        TcpListener::from(socket).accept().unwrap();
    }

    #[test]
    fn a_busy_port_is_told_with_who_holds_it() {
        let us = format!("(pid {})", std::process::id());
        for text in ["0:80", "0:80/udp", "0.0.0.0:0:80", "0.0.0.0:0:80/udp"] {
            let (taken, _socket) = bind(&forward(text)).unwrap();
            let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), taken.listen.port());
            let error = bind(&Forward { listen: local, ..taken }).unwrap_err();
            let ListenError::Busy { by: Some(by), .. } = &error else { panic!("{error:?}") };
            assert!(by.ends_with(&us), "{by}");
        }
    }

    #[test]
    fn two_do_not_share_a_port_of_datagrams() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let wanted = Forward { listen: taken.local_addr().unwrap(), guest: 53, transport: Transport::Udp };
        assert!(matches!(bind(&wanted), Err(ListenError::Busy { .. })));
    }

    #[test]
    fn an_address_that_is_not_ours_is_refused() {
        let error = bind(&forward("192.0.2.1:0:80")).unwrap_err();
        assert!(matches!(error, ListenError::Refused { .. }), "{error}");
    }

    #[test]
    fn rows_of_the_kernels_tables_are_read() {
        let four =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 0 100 0 0 10 0";
        let six = "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A \
                   00000000:00000000 00:00000000 00000000     0        0 12 1 0";
        assert_eq!(read_row(four, Transport::Tcp), Some(("127.0.0.1:8080".parse().unwrap(), 4711)));
        assert_eq!(read_row(six, Transport::Tcp), Some(("[::1]:80".parse().unwrap(), 12)));
        assert_eq!(read_row(four, Transport::Udp), None);
        assert_eq!(read_row("  sl  local_address", Transport::Tcp), None);
        assert_eq!(read_address("1:2:3"), None);
    }
}
