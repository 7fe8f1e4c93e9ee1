//! Ports of this host that lead to a machine: how they are shown, and how one is meant.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use machine_sdk::api::network::PortInfo;
use machine_sdk::api::word::TransportWord;

/// A port as short as it may be written: `8080:80`, `0.0.0.0:53:53/udp`.
pub(crate) fn show(port: &PortInfo) -> String {
    let udp = if port.transport == TransportWord::Udp { "/udp" } else { "" };
    if port.listen.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        format!("{}:{}{udp}", port.listen.port(), port.guest)
    } else {
        format!("{}:{}{udp}", port.listen, port.guest)
    }
}

/// Where the host listens, as people mean it: `PORT` at any address, `ADDRESS:PORT`, or all of a port's SPEC,
/// whose guest's part says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meant {
    address: Option<IpAddr>,
    port: u16,
    transport: TransportWord,
}

impl Meant {
    /// Whether it is this one.
    pub(crate) fn is(&self, port: &PortInfo) -> bool {
        self.transport == port.transport
            && self.port == port.listen.port()
            && self.address.is_none_or(|address| address == port.listen.ip())
    }
}

impl FromStr for Meant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, transport) = match text.rsplit_once('/') {
            Some((place, "udp")) => (place, TransportWord::Udp),
            Some((place, "tcp")) => (place, TransportWord::Tcp),
            Some(_) | None => (text, TransportWord::Tcp),
        };
        let listens = |place: &str| {
            if !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit()) {
                return place.parse().ok().map(|port| (None, port));
            }
            place.parse::<SocketAddr>().ok().map(|listen| (Some(listen.ip()), listen.port()))
        };
        let found = listens(place).or_else(|| listens(place.rsplit_once(':')?.0));
        let (address, port) = found.ok_or_else(|| format!("not a port: '{text}' (say PORT or ADDRESS:PORT)"))?;
        Ok(Self { address, port, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(listen: &str, guest: u16, transport: TransportWord) -> PortInfo {
        PortInfo { listen: listen.parse().unwrap(), guest, transport }
    }

    #[test]
    fn a_port_is_shown_as_short_as_it_may_be_written() {
        for (port, text) in [
            (info("127.0.0.1:8080", 80, TransportWord::Tcp), "8080:80"),
            (info("0.0.0.0:53", 53, TransportWord::Udp), "0.0.0.0:53:53/udp"),
            (info("[::1]:8080", 80, TransportWord::Tcp), "[::1]:8080:80"),
        ] {
            assert_eq!(show(&port), text);
            assert!(text.parse::<Meant>().unwrap().is(&port), "{text}");
        }
    }

    #[test]
    fn a_port_is_meant_by_where_the_host_listens() {
        let (here, everywhere) =
            (info("127.0.0.1:80", 1, TransportWord::Tcp), info("0.0.0.0:80", 2, TransportWord::Tcp));
        let check = |text: &str, is_here: bool, is_everywhere: bool| {
            let meant: Meant = text.parse().unwrap();
            assert_eq!((meant.is(&here), meant.is(&everywhere)), (is_here, is_everywhere), "{text}");
        };
        check("80", true, true);
        check("80/tcp", true, true);
        check("80/udp", false, false);
        check("127.0.0.1:80", true, false);
        check("0.0.0.0:80:2", false, true);
        check("80:9", true, true);
        check("81", false, false);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in ["", "x", "80/sctp", "70000", "1.2.3.4", "::1:80:x", "/udp", "+80"] {
            assert!(text.parse::<Meant>().is_err(), "{text}");
        }
    }
}
