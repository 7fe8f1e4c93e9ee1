//! The loopback, and eth0 with the address that the host gives: at boot, and whenever it says another.

use crate::netlink::Netlink;
use rustix::io::Errno;
use std::fs;
use std::io;
use std::net::Ipv4Addr;

const RESOLVER: &str = "/etc/resolv.conf";
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

/// Later: what is absent, or already so, stays.
pub(crate) fn change(mac: Option<[u8; 6]>, address: Option<&Address>) -> Result<(), NetworkError> {
    if mac.is_none() && address.is_none() {
        return Ok(());
    }
    let eth0 = index("eth0")?;
    let netlink = Netlink::open().map_err(set_up("eth0"))?;
    if let Some(mac) = mac.filter(|mac| !has_mac(*mac)) {
        become_card(&netlink, eth0, mac).map_err(set_up("eth0"))?;
    }
    let Some(address) = address else { return Ok(()) };
    readdress(&netlink, eth0, address).map_err(set_up("eth0"))?;
    resolver(address)
}

fn set_up(name: &'static str) -> impl Fn(io::Error) -> NetworkError {
    move |source| NetworkError::SetUp { name, source }
}

fn has_mac(mac: [u8; 6]) -> bool {
    let text = fs::read_to_string("/sys/class/net/eth0/address").unwrap_or_default();
    text.trim_end() == mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn become_card(netlink: &Netlink, eth0: u32, mac: [u8; 6]) -> io::Result<()> {
    // The addresses that IPv6 made of the old one go with it, and come again from the new one.
    let ipv6 = fs::read(NO_IPV6).is_ok_and(|text| text.starts_with(b"0"));
    if ipv6 {
        fs::write(NO_IPV6, "1")?;
    }
    match netlink.set_mac(eth0, mac) {
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
            // A card that cannot change while it works. Its routes come back with the address.
            netlink.take_down(eth0)?;
            netlink.set_mac(eth0, mac)?;
            netlink.bring_up(eth0)?;
        }
        changed => changed?,
    }
    if ipv6 {
        fs::write(NO_IPV6, "0")?;
    }
    Ok(())
}

fn readdress(netlink: &Netlink, eth0: u32, address: &Address) -> io::Result<()> {
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
    let (says, wanted) = (fs::read_to_string(RESOLVER).unwrap_or_default(), format!("nameserver {dns}\n"));
    if says == wanted || !is_ours(&says) {
        return Ok(());
    }
    write_resolver(&wanted).map_err(|source| NetworkError::Resolver { source })
}

/// Nothing, or one line as we write it.
fn is_ours(text: &str) -> bool {
    text.trim().is_empty()
        || text
            .strip_prefix("nameserver ")
            .and_then(|rest| rest.strip_suffix('\n'))
            .is_some_and(|ip| ip.parse::<Ipv4Addr>().is_ok())
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
        assert!(["", "\n", "nameserver 10.0.2.3\n"].iter().all(|text| is_ours(text)));
        let theirs = ["nameserver 10.0.2.3\nsearch example.org\n", "# mine\nnameserver 10.0.2.3\n", "options rotate\n"];
        assert!(!theirs.iter().any(|text| is_ours(text)));
    }
}
