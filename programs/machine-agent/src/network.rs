//! The loopback, and eth0 with the address that the host gives: at boot, and whenever it says another.

use crate::netlink::Netlink;
use crate::sys;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

const RESOLVER: &str = "/etc/resolv.conf";
/// Answers of more than 512 bytes come at once, and not once more over TCP.
const OPTIONS: &str = "options edns0\n";
const NO_IPV6: &str = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";

/// The guest's address on eth0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) ip: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) dns: Option<Ipv4Addr>,
}

/// Why the network is not as the host wanted it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("cannot find the network interface {name}: {source}")]
    NoInterface { name: &'static str, source: io::Error },
    #[error("cannot set up the network interface {name}: {source}")]
    SetUp { name: &'static str, source: io::Error },
    #[error("cannot write {RESOLVER}: {source}")]
    Resolver { source: io::Error },
}

/// At boot: the loopback, and eth0 if the host gave it an address.
pub(crate) fn up(address: Option<&Address>) -> Result<(), NetworkError> {
    let netlink = Netlink::open().map_err(set_up("lo"))?;
    netlink.bring_up(index("lo")?).map_err(set_up("lo"))?;
    let Some(address) = address else { return Ok(()) };
    let eth0 = index("eth0")?;
    netlink.add_address(eth0, address.ip, address.prefix).map_err(set_up("eth0"))?;
    netlink.bring_up(eth0).map_err(set_up("eth0"))?;
    route(&netlink, eth0, address).map_err(set_up("eth0"))?;
    resolver(address)
}

/// A guest at rest: eth0 has no address that IPv6 made of its card's, and a new one is quickly set.
#[derive(Debug)]
pub(crate) struct Resting {
    socket: OwnedFd,
    ipv6: bool,
}

impl Resting {
    /// None without eth0.
    pub(crate) fn lie_down() -> io::Result<Option<Self>> {
        if !Path::new("/sys/class/net/eth0").exists() {
            return Ok(None);
        }
        let socket = card_socket()?;
        Ok(Some(Self { socket, ipv6: ipv6_off()? }))
    }

    pub(crate) fn become_card(&self, mac: [u8; 6]) -> Result<(), NetworkError> {
        set_mac(&self.socket, mac).map_err(set_up("eth0"))
    }

    /// Whether IPv6 is to make its addresses anew. It takes a second to be sure of them in any case, so nobody
    /// waits for it.
    pub(crate) fn wants_ipv6(&self) -> bool {
        self.ipv6
    }
}

/// What `Resting` wants afterwards.
pub(crate) fn ipv6_on() {
    if let Err(error) = fs::write(NO_IPV6, "0") {
        crate::console::say(format_args!("cannot use IPv6 again: {error}"));
    }
}

/// Gives eth0 this card's address, if it has another.
pub(crate) fn become_card(mac: [u8; 6]) -> Result<(), NetworkError> {
    if has_mac(mac) {
        return Ok(());
    }
    // Fails if there is no such card.
    index("eth0")?;
    let changed = || {
        // The addresses that IPv6 made of the old one go with it, and come again from the new one.
        let ipv6 = ipv6_off()?;
        set_mac(&card_socket()?, mac)?;
        if ipv6 { fs::write(NO_IPV6, "0") } else { Ok(()) }
    };
    changed().map_err(set_up("eth0"))
}

/// Gives eth0 this address in the network, and no other.
pub(crate) fn readdress(address: &Address) -> Result<(), NetworkError> {
    let eth0 = index("eth0")?;
    let changed = || {
        let netlink = Netlink::open()?;
        replace_addresses(&netlink, eth0, address)
    };
    changed().map_err(set_up("eth0"))?;
    resolver(address)
}

fn set_up(name: &'static str) -> impl Fn(io::Error) -> NetworkError {
    move |source| NetworkError::SetUp { name, source }
}

fn has_mac(mac: [u8; 6]) -> bool {
    let text = fs::read_to_string("/sys/class/net/eth0/address").unwrap_or_default();
    text.trim_end() == mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Whether it was on.
fn ipv6_off() -> io::Result<bool> {
    let on = fs::read(NO_IPV6).is_ok_and(|text| text.starts_with(b"0"));
    if on {
        fs::write(NO_IPV6, "1")?;
    }
    Ok(on)
}

fn card_socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn set_mac(socket: &OwnedFd, mac: [u8; 6]) -> io::Result<()> {
    match sys::set_mac(socket.as_fd(), c"eth0", mac) {
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
            // A card that cannot change while it works. Its routes come back with the address.
            let (netlink, eth0) = (Netlink::open()?, index("eth0").map_err(io::Error::other)?);
            netlink.take_down(eth0)?;
            sys::set_mac(socket.as_fd(), c"eth0", mac)?;
            netlink.bring_up(eth0)
        }
        changed => changed,
    }
}

fn replace_addresses(netlink: &Netlink, eth0: u32, address: &Address) -> io::Result<()> {
    let has = netlink.addresses(eth0)?;
    let wanted = (address.ip, address.prefix);
    // First the old ones: an address in their network would leave with them.
    for (ip, prefix) in has.iter().filter(|one| **one != wanted) {
        netlink.remove_address(eth0, *ip, *prefix)?;
    }
    if !has.contains(&wanted) {
        netlink.add_address(eth0, address.ip, address.prefix)?;
    }
    if has.is_empty() {
        netlink.bring_up(eth0)?;
    }
    route(netlink, eth0, address)
}

fn route(netlink: &Netlink, eth0: u32, address: &Address) -> io::Result<()> {
    match address.gateway {
        Some(gateway) => netlink.add_default_route(eth0, gateway),
        None => match netlink.remove_default_route(eth0) {
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
            removed => removed,
        },
    }
}

fn index(name: &'static str) -> Result<u32, NetworkError> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    text.and_then(|text| text.trim().parse().map_err(io::Error::other))
        .map_err(|source| NetworkError::NoInterface { name, source })
}

/// Only where the guest's owner says nothing.
fn resolver(address: &Address) -> Result<(), NetworkError> {
    let Some(dns) = address.dns else { return Ok(()) };
    let (says, wanted) = (fs::read_to_string(RESOLVER).unwrap_or_default(), format!("nameserver {dns}\n{OPTIONS}"));
    if says == wanted || !is_ours(&says) {
        return Ok(());
    }
    write_resolver(&wanted).map_err(|source| NetworkError::Resolver { source })
}

/// Nothing, or as we write it, or as agents before us did: without options.
fn is_ours(text: &str) -> bool {
    let one = text.strip_suffix(OPTIONS).unwrap_or(text);
    let ip = one.strip_prefix("nameserver ").and_then(|rest| rest.strip_suffix('\n'));
    text.trim().is_empty() || ip.is_some_and(|ip| ip.parse::<Ipv4Addr>().is_ok())
}

fn write_resolver(text: &str) -> io::Result<()> {
    // A link that leads nowhere (systemd's stub) is replaced.
    if fs::symlink_metadata(RESOLVER).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(RESOLVER)?;
    }
    fs::create_dir_all("/etc")?;
    fs::write(RESOLVER, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_wrote_is_not_ours() {
        let ours = ["", "\n", "nameserver 10.0.2.3\n", "nameserver 10.0.2.3\noptions edns0\n"];
        assert!(ours.iter().all(|text| is_ours(text)));
        let theirs = [
            "options edns0\n",
            "nameserver 10.0.2.3\nsearch example.org\n",
            "# mine\nnameserver 10.0.2.3\n",
            "options rotate\n",
        ];
        assert!(!theirs.iter().any(|text| is_ours(text)));
    }
}
