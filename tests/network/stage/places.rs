//! Every address on the stage. What the world serves is not the host's own: only `HOST` is.

/// The host's address towards the world.
pub(crate) const HOST: &str = "192.0.2.2";
/// The same in IPv6.
pub(crate) const HOST_V6: &str = "2001:db8:1::2";
/// The world's end of the wire: the default route.
pub(crate) const WORLD: &str = "192.0.2.1";
/// The same in IPv6.
pub(crate) const WORLD_V6: &str = "2001:db8:1::1";

/// `www.example.com`.
pub(crate) const WWW: &str = "203.0.113.10";
/// `www.example.com` by another resolver, and `other.example.com`.
pub(crate) const OTHER: &str = "203.0.113.11";
/// `*.wild.example.com`.
pub(crate) const WILD: &str = "203.0.113.12";
/// `evil.example.org`: nobody allows it.
pub(crate) const EVIL: &str = "203.0.113.66";
/// `v6.example.com`.
pub(crate) const WWW_V6: &str = "2001:db8:2::10";
/// A few more that the rules call public.
pub(crate) const PUBLIC: &[&str] = &[WWW, OTHER, WILD, EVIL, "198.51.100.7"];
/// In IPv6.
pub(crate) const PUBLIC_V6: &[&str] = &[WWW_V6];

/// Where the host's own resolver is, as in many a company.
pub(crate) const RESOLVER: &str = "10.53.0.53";
/// Another, which a VPN would bring.
pub(crate) const VPN_RESOLVER: &str = "10.53.0.54";
/// A resolver out there that a guest might want to ask itself.
pub(crate) const PUBLIC_RESOLVER: &str = "203.0.113.53";

/// One of each reserved range that the world can serve.
pub(crate) const RESERVED: &[&str] =
    &["10.1.2.3", "172.16.5.5", "172.31.255.254", "192.168.1.1", "100.64.0.1", "169.254.169.254", "198.18.0.1"];
/// In IPv6; the last stands for 10.1.2.3 behind a NAT64.
pub(crate) const RESERVED_V6: &[&str] = &["fd12::1", "64:ff9b::a01:203"];
