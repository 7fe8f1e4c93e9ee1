//! Who waits for datagrams on the loopback, from the kernel's own tables: unlike a connection, a datagram to nobody
//! is not refused before it is sent.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4: &str = "/proc/net/udp";
const V6: &str = "/proc/net/udp6";
/// A socket that is connected to somebody hears nobody else.
const UNCONNECTED: &str = "07";

/// The loopback at which somebody waits at `port`: 127.0.0.1, or ::1.
pub(super) fn listener(port: u16) -> Option<IpAddr> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let waiting: Vec<IpAddr> = [V4, V6].into_iter().flat_map(|path| waiting_at(&read(path), port)).collect();
    choose(&waiting)
}

fn choose(waiting: &[IpAddr]) -> Option<IpAddr> {
    let hears = |ip: &IpAddr, loopback: IpAddr| ip.to_canonical() == loopback || ip.is_unspecified();
    let v4 = waiting.iter().any(|ip| ip.to_canonical().is_ipv4() && hears(ip, Ipv4Addr::LOCALHOST.into()));
    let v6 = waiting.iter().any(|ip| ip.to_canonical().is_ipv6() && hears(ip, Ipv6Addr::LOCALHOST.into()));
    match (v4, v6) {
        (true, _) => Some(Ipv4Addr::LOCALHOST.into()),
        (false, true) => Some(Ipv6Addr::LOCALHOST.into()),
        (false, false) => None,
    }
}

/// The addresses of unconnected sockets at `port`.
fn waiting_at(table: &str, port: u16) -> Vec<IpAddr> {
    let one = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, state) = (fields.next()?, fields.nth(1)?);
        let (ip, at) = address.split_once(':')?;
        (state == UNCONNECTED && u16::from_str_radix(at, 16).ok()? == port).then(|| parse(ip)).flatten()
    };
    table.lines().filter_map(one).collect()
}

/// Words of 32 bits in hexadecimal, each as it lies in memory.
fn parse(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(octets))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
  123: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
  124: 0F02000A:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
  125: 0100007F:9C40 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
";
    const TABLE6: &str =
        "  1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 1 2 0 0
  2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 1 2 0 0
  3: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 1 2 0 0
";

    fn found(table: &str, port: u16) -> Option<IpAddr> {
        choose(&waiting_at(table, port))
    }

    #[test]
    fn only_who_waits_on_the_loopback_is_found() {
        assert_eq!(found(TABLE, 53), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(found(TABLE, 68), None, "another address");
        assert_eq!(found(TABLE, 40000), None, "connected");
        assert_eq!(found(TABLE6, 53), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(found(TABLE6, 80), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(found(TABLE6, 81), Some(Ipv4Addr::LOCALHOST.into()), "an IPv4 address in IPv6's words");
        assert_eq!(found(&[TABLE, TABLE6].concat(), 53), Some(Ipv4Addr::LOCALHOST.into()));
        for broken in [
            "",
            "x",
            " 1: 0100007F",
            " 1: zz:0035 0 07",
            " 1: 0100007F:0035 0 07 x\n 2: \u{e9}\u{e9}\u{e9}\u{e9}:0035 0 07",
        ] {
            found(broken, 53);
        }
    }
}
