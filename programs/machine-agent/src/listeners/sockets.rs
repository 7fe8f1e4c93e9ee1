//! Sockets that wait for somebody, from /proc/net. Who has them is not told here.

use machine_agent_protocol::{ListenAddress, Transport};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

const TABLES: [(&str, Transport); 4] = [
    ("/proc/net/tcp", Transport::Tcp),
    ("/proc/net/tcp6", Transport::Tcp),
    ("/proc/net/udp", Transport::Udp),
    ("/proc/net/udp6", Transport::Udp),
];
/// Ports that the kernel gives to whoever asks for none.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const USUAL_EPHEMERAL: RangeInclusive<u16> = 32768..=60999;
/// The kernel's numbers of states: waits for connections; and of a datagram socket: is connected to nobody.
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// What tells a listener from the others.
pub(super) type Key = (Transport, ListenAddress, u16);

/// A socket that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) key: Key,
    pub(super) uid: u32,
    pub(super) inode: u64,
}

/// All of them. A guest without IPv6 has no tables of it.
pub(super) fn all() -> io::Result<Vec<Socket>> {
    let ephemeral = fs::read_to_string(EPHEMERAL).ok().and_then(|text| range(&text)).unwrap_or(USUAL_EPHEMERAL);
    let mut found = Vec::new();
    for (path, transport) in TABLES {
        match fs::read_to_string(path) {
            Ok(table) => found.extend(table.lines().filter_map(|line| parse(line, transport, &ephemeral))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (low, high) = text.trim().split_once(char::is_whitespace)?;
    Some(low.parse().ok()?..=high.trim().parse().ok()?)
}

/// `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 12345 …`
fn parse(line: &str, transport: Transport, ephemeral: &RangeInclusive<u16>) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, state) = (fields.next()?, fields.nth(1)?);
    let (uid, inode) = (fields.nth(3)?, fields.nth(1)?);
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let waits = match transport {
        Transport::Tcp => state == LISTEN,
        // A client that sends datagrams looks as a server does, but for its port.
        Transport::Udp => state == UNCONNECTED && !ephemeral.contains(&port),
    };
    if !waits || port == 0 {
        return None;
    }
    let key = (transport, class(read_address(address)?), port);
    Some(Socket { key, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
}

/// Each four bytes as a number of this processor.
fn read_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

fn class(address: IpAddr) -> ListenAddress {
    if address.is_unspecified() {
        ListenAddress::Any
    } else if address.is_loopback() {
        ListenAddress::Loopback
    } else {
        ListenAddress::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, transport: Transport, port: Option<(ListenAddress, u16)>) {
        let found = parse(line, transport, &USUAL_EPHEMERAL);
        assert_eq!(found.map(|socket| (socket.key.1, socket.key.2)), port, "{line}");
    }

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        let rest = "00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0";
        check(&format!("0: 0100007F:1F90 00000000:0000 0A {rest}"), tcp, Some((ListenAddress::Loopback, 8080)));
        check(&format!("0: 00000000:0050 00000000:0000 0A {rest}"), tcp, Some((ListenAddress::Any, 80)));
        check(&format!("0: 0F02000A:0050 00000000:0000 0A {rest}"), tcp, Some((ListenAddress::Other, 80)));
        check(&format!("0: 0100007F:1F90 0100007F:0050 01 {rest}"), tcp, None);
        check(&format!("0: 00000000:0035 00000000:0000 07 {rest}"), udp, Some((ListenAddress::Any, 53)));
        check(&format!("0: 00000000:C350 00000000:0000 07 {rest}"), udp, None);
        let loopback = "0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A";
        check(&format!("{loopback} {rest}"), tcp, Some((ListenAddress::Loopback, 8080)));
        let mapped = "0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A";
        check(&format!("{mapped} {rest}"), tcp, Some((ListenAddress::Loopback, 8080)));
        let socket = parse(&format!("0: 00000000:0050 00000000:0000 0A {rest}"), tcp, &USUAL_EPHEMERAL).unwrap();
        assert_eq!((socket.uid, socket.inode), (1000, 12345));
    }

    #[test]
    fn what_is_no_line_is_no_socket() {
        for line in ["", "sl local_address rem_address st", "0: x:y 0:0 0A", "0: ééééé:0050 0:0 0A 0 0 0 1 0 2"] {
            check(line, Transport::Tcp, None);
        }
        assert_eq!(range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(range("x"), None);
    }
}
