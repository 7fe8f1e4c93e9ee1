//! What a machine's network shall be. Its NIC ends in a gateway of ours: what it may reach is decided there.
//! Every machine has the same addresses; nothing but the gateway is in its network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::policy::egress::EgressPolicy;

/// The guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The gateway's address; also the name `host.machine.internal`: what is allowed of the host is reached there.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Who resolves names.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Leading bits that the three share.
pub const PREFIX: u8 = 24;
/// The name by which a guest calls the host.
pub const HOST_NAME: &str = "host.machine.internal";
/// The largest IP packet on the wire between guest and gateway, in bytes.
pub const MTU: u16 = 65_520;

/// A machine's network, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    /// Whether there is one.
    pub mode: NetworkMode,
    /// What the machine may reach.
    pub egress: EgressPolicy,
    /// Ports of the host that lead to the machine. No two with the same transport and host address.
    pub forwards: Vec<Forward>,
    /// Whether the certificate authorities that the host trusts are trusted in the guest, too.
    pub host_ca: bool,
    /// Whether the host's proxy settings are passed on.
    pub proxy: bool,
    /// Whether ports of the host lead to wherever the guest is found listening, too.
    pub finds_ports: bool,
}

/// Whether a machine has a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// A NIC that ends in a gateway of ours.
    #[default]
    User,
    /// No NIC.
    None,
}

/// What carries bytes between ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A stream.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the host that leads to one of the machine. Written `[ADDRESS:]HOST:GUEST[/udp]`, or `PORT[/udp]`
/// for the same on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Forward {
    /// Where the host listens; 127.0.0.1 unless asked otherwise. Port 0: the host chooses one.
    pub listen: SocketAddr,
    /// The guest's port.
    pub guest: u16,
    /// Of both.
    pub transport: Transport,
}

/// A text that is not a forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a port: '{0}' (PORT, HOST:GUEST or ADDRESS:HOST:GUEST, each with an optional /tcp or /udp)")]
pub struct BadForward(pub String);

impl NetworkMode {
    /// Whether it is what a machine has if nobody says.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Transport {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Forward {
    type Err = BadForward;
    fn from_str(text: &str) -> Result<Self, BadForward> {
        let bad = || BadForward(text.to_owned());
        let (ports, transport) = match text.rsplit_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Transport::Tcp),
            Some((ports, "udp")) => (ports, Transport::Udp),
            Some(_) => return Err(bad()),
        };
        let (rest, guest) = ports.rsplit_once(':').unwrap_or((ports, ports));
        let (address, host) = match rest.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), rest),
            Some((address, host)) => (unbracketed(address).parse().map_err(|_| bad())?, host),
        };
        let guest = port(guest).filter(|&port| port != 0).ok_or_else(bad)?;
        Ok(Self { listen: SocketAddr::new(address, port(host).ok_or_else(bad)?), guest, transport })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.listen, self.guest, self.transport)
    }
}

fn unbracketed(address: &str) -> &str {
    address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address)
}

/// Digits alone: no sign, which Rust would take.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str, listen: &str, guest: u16, transport: Transport) {
        let forward = Forward { listen: listen.parse().unwrap(), guest, transport };
        assert_eq!(text.parse(), Ok(forward), "{text}");
        assert_eq!(forward.to_string().parse(), Ok(forward), "{forward}");
    }

    #[test]
    fn a_forward_reads_in_every_form_and_back() {
        reads("3000", "127.0.0.1:3000", 3000, Transport::Tcp);
        reads("18080:8080", "127.0.0.1:18080", 8080, Transport::Tcp);
        reads("0:8080/tcp", "127.0.0.1:0", 8080, Transport::Tcp);
        reads("5353:53/udp", "127.0.0.1:5353", 53, Transport::Udp);
        reads("0.0.0.0:80:8080", "0.0.0.0:80", 8080, Transport::Tcp);
        reads("[::1]:80:8080/udp", "[::1]:80", 8080, Transport::Udp);
    }

    #[test]
    fn what_is_no_forward_is_refused() {
        for text in ["", ":", "0", "80:0", "65536", "+80", "80:", ":80", "80/sctp", "a:80:80", "1:2:3", "80:80:80:80"] {
            assert_eq!(text.parse::<Forward>(), Err(BadForward(text.to_owned())), "{text}");
        }
    }
}
