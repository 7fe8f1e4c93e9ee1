//! One entry of `allow` or `deny`, as people write it: `PEER[:PORT][/tcp|/udp|/icmp]`, where the peer is an
//! address, a CIDR, a host's name, or `*.domain` for every name below it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{Destination, HTTP, HTTPS, Protocol, reserved};
use crate::network::HOST_NAME;

/// The longest name in DNS, without its final dot.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A name in DNS: lower case, without the final dot, and never one that could be read as an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Entry {
    /// Who.
    pub peer: Peer,
    /// Which port; all, if absent. For a name: those of HTTP and HTTPS, if absent.
    pub port: Option<u16>,
    /// By what; anything, if absent.
    pub protocol: Option<Protocol>,
}

/// Who an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// These addresses.
    Net(IpNet),
    /// The addresses of this name.
    Name(DomainName),
    /// The addresses of every name below this one.
    Below(DomainName),
}

/// A text that is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// None of the forms.
    #[error(
        "not an egress entry: '{0}' (ADDRESS, CIDR, HOST or *.DOMAIN, with an optional :PORT and /tcp, /udp or /icmp)"
    )]
    Form(String),
    /// Bits of the address lie outside of its prefix.
    #[error("not a network: '{0}' (its first address is {1})")]
    Net(String, IpNet),
    /// Letters that DNS does not have.
    #[error("not a host's name: '{0}' (write it in ASCII: xn--...)")]
    NotAscii(String),
}

impl Entry {
    /// Whether the entry is about this destination.
    pub(super) fn fits(&self, wanted: &Destination<'_>) -> bool {
        self.protocol.is_none_or(|protocol| protocol == wanted.protocol)
            && match &self.peer {
                Peer::Net(net) => self.port.is_none_or(|port| port == wanted.port) && net.contains(&wanted.address),
                Peer::Name(_) | Peer::Below(_) => {
                    self.fits_by_name(wanted) && wanted.names.iter().any(|name| self.is_about(name))
                }
            }
    }

    /// A name without a port is about the two services that say the name themselves; the host's own is about all.
    fn fits_by_name(&self, wanted: &Destination<'_>) -> bool {
        match (self.port, wanted.protocol) {
            (_, Protocol::Icmp) => false,
            (None, Protocol::Tcp | Protocol::Udp) if self.is_about_host() => true,
            (Some(port), Protocol::Tcp | Protocol::Udp) => port == wanted.port,
            (None, Protocol::Tcp | Protocol::Udp) => matches!(wanted.port, HTTP | HTTPS),
        }
    }

    /// Whether it is about this name, at any port.
    pub(super) fn is_about(&self, asked: &DomainName) -> bool {
        match &self.peer {
            Peer::Net(_) => false,
            Peer::Name(name) => name == asked,
            Peer::Below(domain) => {
                asked.0.strip_suffix(domain.0.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }
        }
    }

    pub(super) fn is_about_addresses(&self) -> bool {
        matches!(self.peer, Peer::Net(_))
    }

    /// About names that are looked up: the host's own is not, it is another way of writing an address.
    pub(super) fn is_about_names(&self) -> bool {
        !self.is_about_addresses() && !self.is_about_host()
    }

    fn is_about_host(&self) -> bool {
        matches!(&self.peer, Peer::Name(name) if name.0 == HOST_NAME)
    }

    /// Whether it makes an exception for a reserved address or the host. `0.0.0.0/0` is none: it was not made
    /// for it. A name is none, whatever it resolves to, but the host's own.
    pub(super) fn excepts(&self, wanted: &Destination<'_>) -> bool {
        let fits = self.protocol.is_none_or(|protocol| protocol == wanted.protocol)
            && self.port.is_none_or(|port| port == wanted.port);
        fits && (self.excepts_address(wanted.address)
            || (self.is_about_host() && wanted.address == IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }

    /// Whether it was made for this address, at some port.
    pub(super) fn excepts_address(&self, address: IpAddr) -> bool {
        match &self.peer {
            Peer::Net(net) => {
                let within = match reserved(net.addr()) {
                    Some(range) => net.prefix_len() >= range.prefix_len(),
                    None => net.prefix_len() == net.max_prefix_len(),
                };
                within && net.contains(&address)
            }
            Peer::Name(_) | Peer::Below(_) => false,
        }
    }
}

impl DomainName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = BadEntry;
    fn from_str(text: &str) -> Result<Self, BadEntry> {
        if !text.is_ascii() {
            return Err(BadEntry::NotAscii(text.to_owned()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let label = |label: &str| {
            !label.is_empty() && label.len() <= LONGEST_LABEL && !label.starts_with('-') && label.bytes().all(letters)
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        if name.len() > LONGEST_NAME || !name.split('.').all(label) || is_number(last) {
            return Err(BadEntry::Form(text.to_owned()));
        }
        Ok(Self(name))
    }
}

/// A name that ends in a number is an address in some spelling (decimal, octal, hexadecimal): the rule of the
/// URL standard, section "host parsing".
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex || (!label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()))
}

impl FromStr for Entry {
    type Err = BadEntry;
    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let bad = || BadEntry::Form(text.to_owned());
        let (rest, protocol) = match text.rsplit_once('/') {
            Some((rest, "tcp")) => (rest, Some(Protocol::Tcp)),
            Some((rest, "udp")) => (rest, Some(Protocol::Udp)),
            Some((rest, "icmp")) => (rest, Some(Protocol::Icmp)),
            Some(_) | None => (text, None),
        };
        let (peer, port) = split_port(rest).ok_or_else(bad)?;
        if port == Some(0) || (protocol == Some(Protocol::Icmp) && port.is_some()) {
            return Err(bad());
        }
        Ok(Self { peer: parse_peer(peer, text)?, port, protocol })
    }
}

/// `peer:port`, `[v6]:port`, `[v6]`, or a peer alone.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let port = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    if let Some(inner) = text.strip_prefix('[') {
        let (peer, rest) = inner.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(digits) => Some((peer, Some(port(digits)?))),
            None => rest.is_empty().then_some((peer, None)),
        };
    }
    match text.split_once(':') {
        // More than one colon: IPv6 without brackets.
        Some((_, digits)) if digits.contains(':') => Some((text, None)),
        Some((peer, digits)) => Some((peer, Some(port(digits)?))),
        None => Some((text, None)),
    }
}

fn parse_peer(peer: &str, whole: &str) -> Result<Peer, BadEntry> {
    if let Ok(address) = peer.parse::<IpAddr>() {
        return Ok(Peer::Net(IpNet::from(address.to_canonical())));
    }
    if let Ok(net) = peer.parse::<IpNet>() {
        let whole = net.trunc() == net;
        return if whole { Ok(Peer::Net(canonical(net))) } else { Err(BadEntry::Net(peer.to_owned(), net.trunc())) };
    }
    let whole_text = |error| match error {
        BadEntry::Form(_) => BadEntry::Form(whole.to_owned()),
        BadEntry::Net(..) | BadEntry::NotAscii(_) => error,
    };
    match peer.strip_prefix("*.") {
        Some(domain) => Ok(Peer::Below(domain.parse().map_err(whole_text)?)),
        None => Ok(Peer::Name(peer.parse().map_err(whole_text)?)),
    }
}

/// IPv4 written in IPv6 is what it stands for; otherwise such an entry would fit nothing.
fn canonical(net: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let stands_for = |v6: Ipv6Net| {
        let front = v6.prefix_len().checked_sub(MAPPED)?;
        Ipv4Net::new(v6.addr().to_ipv4_mapped()?, front).ok()
    };
    match net {
        IpNet::V4(_) => net,
        IpNet::V6(v6) => stands_for(v6).map_or(net, IpNet::V4),
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Peer::Net(net) => {
                let one = net.prefix_len() == net.max_prefix_len();
                let text = if one { net.addr().to_string() } else { net.to_string() };
                let brackets = self.port.is_some() && net.addr().is_ipv6();
                if brackets { write!(f, "[{text}]")? } else { f.write_str(&text)? }
            }
            Peer::Name(name) => write!(f, "{name}")?,
            Peer::Below(domain) => write!(f, "*.{domain}")?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.protocol {
            None => Ok(()),
            Some(Protocol::Tcp) => f.write_str("/tcp"),
            Some(Protocol::Udp) => f.write_str("/udp"),
            Some(Protocol::Icmp) => f.write_str("/icmp"),
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = BadEntry;
            fn try_from(text: String) -> Result<Self, BadEntry> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
as_text!(DomainName);
as_text!(Entry);
