//! The words of the kernel's command line that are for us.

use crate::network::Address;
use std::path::PathBuf;

/// What the host wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// `machine.root=/dev/vda`; without it the initramfs is the root.
    pub(crate) root: Option<PathBuf>,
    /// `machine.rootfstype=ext4`.
    pub(crate) root_kind: String,
    /// `machine.ip=10.0.2.15/24,gw=10.0.2.2,dns=10.0.2.3`.
    pub(crate) address: Option<Address>,
}

impl CommandLine {
    pub(crate) fn parse(text: &str) -> Self {
        let value = |key: &str| text.split_whitespace().rev().find_map(|word| word.strip_prefix(key));
        Self {
            root: value("machine.root=").map(PathBuf::from),
            root_kind: value("machine.rootfstype=").unwrap_or("ext4").to_owned(),
            address: value("machine.ip=").and_then(address),
        }
    }
}

fn address(text: &str) -> Option<Address> {
    let mut parts = text.split(',');
    let (ip, prefix) = parts.next()?.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    let mut address = Address { ip: ip.parse().ok()?, prefix, gateway: None, dns: None };
    for part in parts {
        match part.split_once('=')? {
            ("gw", gateway) => address.gateway = Some(gateway.parse().ok()?),
            ("dns", dns) => address.dns = Some(dns.parse().ok()?),
            // A word for a younger agent.
            _ => {}
        }
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn our_words_are_found_among_the_others() {
        let line = CommandLine::parse("quiet machine.root=/dev/vda machine.ip=10.0.2.15/24,gw=10.0.2.2,dns=10.0.2.3\n");
        let address = line.address.unwrap();
        assert_eq!(line.root, Some(PathBuf::from("/dev/vda")));
        assert_eq!((address.ip, address.prefix), (Ipv4Addr::new(10, 0, 2, 15), 24));
        assert_eq!(address.gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(address.dns, Some(Ipv4Addr::new(10, 0, 2, 3)));
        assert_eq!(line.root_kind, "ext4");
    }

    #[test]
    fn a_broken_address_is_none() {
        for text in ["machine.ip=10.0.2.15", "machine.ip=10.0.2.15/99", "machine.ip=x/8", ""] {
            assert_eq!(CommandLine::parse(text).address, None, "{text}");
        }
    }
}
