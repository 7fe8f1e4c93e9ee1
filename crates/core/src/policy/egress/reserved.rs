//! Addresses that no machine reaches unless it is given a single exception: private, local and special ones,
//! and every way of writing such an IPv4 address in IPv6. Source: the IANA special-purpose address registries.

use std::net::IpAddr;

use ipnet::IpNet;

/// A range of addresses that is reserved.
pub type Reserved = IpNet;

/// Order matters for what is told: the narrower first.
const RANGES: [&str; 28] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Unspecified, loopback, and IPv4-compatible.
    "::/96",
    // IPv4-mapped, where it was not read as IPv4 before.
    "::ffff:0:0/96",
    // IPv4-translated.
    "::ffff:0:0:0/96",
    // NAT64, well-known and local.
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    // Teredo, ORCHID: an IPv4 address, or none at all, is inside.
    "2001::/32",
    "2001:10::/28",
    "2001:20::/28",
    // 6to4.
    "2002::/16",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "2001:2::/48",
];

/// The reserved range that an address lies in. IPv4 in IPv6 is read as what it stands for.
#[must_use]
pub fn reserved(address: IpAddr) -> Option<Reserved> {
    let address = address.to_canonical();
    RANGES.iter().filter_map(|range| range.parse::<IpNet>().ok()).find(|range| range.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_one() {
        assert!(RANGES.iter().all(|range| range.parse::<IpNet>().is_ok_and(|net| net.trunc() == net)));
    }
}
