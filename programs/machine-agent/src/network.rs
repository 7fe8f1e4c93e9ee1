//! The loopback, and eth0 with the address that the command line gives.

use super::cmdline::{Address, CommandLine};
use super::netlink::Netlink;
use std::fs;
use std::io;

/// Why the network is not as the host wanted it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetworkError {
    #[error("cannot find the network interface {name}: {source}")]
    NoInterface { name: &'static str, source: io::Error },
    #[error("cannot set up the network interface {name}: {source}")]
    SetUp { name: &'static str, source: io::Error },
    #[error("cannot write /etc/resolv.conf: {source}")]
    Resolver { source: io::Error },
}

pub(super) fn up(line: &CommandLine) -> Result<(), NetworkError> {
    let error = |name| move |source| NetworkError::SetUp { name, source };
    let netlink = Netlink::open().map_err(error("lo"))?;
    netlink.bring_up(index("lo")?).map_err(error("lo"))?;
    let Some(address) = &line.address else { return Ok(()) };
    let eth0 = index("eth0")?;
    ethernet(&netlink, eth0, address).map_err(error("eth0"))?;
    resolver(address).map_err(|source| NetworkError::Resolver { source })
}

fn ethernet(netlink: &Netlink, eth0: u32, address: &Address) -> io::Result<()> {
    netlink.add_address(eth0, address.ip, address.prefix)?;
    netlink.bring_up(eth0)?;
    match address.gateway {
        Some(gateway) => netlink.add_default_route(eth0, gateway),
        None => Ok(()),
    }
}

fn index(name: &'static str) -> Result<u32, NetworkError> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    text.and_then(|text| text.trim().parse().map_err(io::Error::other))
        .map_err(|source| NetworkError::NoInterface { name, source })
}

/// Only where the image says nothing itself.
fn resolver(address: &Address) -> io::Result<()> {
    let said = fs::read("/etc/resolv.conf").is_ok_and(|text| !text.trim_ascii().is_empty());
    match address.dns {
        Some(dns) if !said => {
            // A link that leads nowhere (systemd's stub) is replaced.
            if fs::symlink_metadata("/etc/resolv.conf").is_ok_and(|found| found.is_symlink()) {
                fs::remove_file("/etc/resolv.conf")?;
            }
            fs::create_dir_all("/etc")?;
            fs::write("/etc/resolv.conf", format!("nameserver {dns}\n"))
        }
        Some(_) | None => Ok(()),
    }
}
