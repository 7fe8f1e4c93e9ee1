//! Requests to the kernel's routing socket, as bytes. Knows nothing of why.

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
/// Request, acknowledge.
const CHANGE: u16 = 0x1 | 0x4;
/// The same, and replace or create; the kernel refuses it for links.
const PUT: u16 = CHANGE | 0x100 | 0x400;
/// A request that everything there is answers.
const DUMP: u16 = 0x1 | 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
/// Main table, made at boot, whole universe, unicast.
const ROUTE: [u8; 4] = [254, 3, 0, 1];

/// An open routing socket.
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let family = AddressFamily::NETLINK;
        // No protocol number is the one of routes.
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self(socket))
    }

    pub(crate) fn bring_up(&self, index: u32) -> io::Result<()> {
        self.ask(RTM_NEWLINK, CHANGE, &link(index, IFF_UP, IFF_UP))
    }

    pub(crate) fn take_down(&self, index: u32) -> io::Result<()> {
        self.ask(RTM_NEWLINK, CHANGE, &link(index, 0, IFF_UP))
    }

    pub(crate) fn add_address(&self, index: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.ask(RTM_NEWADDR, PUT, &address(index, ip, prefix))
    }

    pub(crate) fn remove_address(&self, index: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.ask(RTM_DELADDR, CHANGE, &address(index, ip, prefix))
    }

    /// The IPv4 addresses of an interface, with their prefixes.
    pub(crate) fn addresses(&self, index: u32) -> io::Result<Vec<(Ipv4Addr, u8)>> {
        self.send(RTM_GETADDR, DUMP, &[AF_INET, 0, 0, 0, 0, 0, 0, 0])?;
        let (mut found, mut answer) = (Vec::new(), vec![0; 16 * 1024]);
        loop {
            let (count, _) = recv(&self.0, &mut answer[..], RecvFlags::empty())?;
            for (kind, body) in messages(&answer[..count]) {
                match kind {
                    NLMSG_DONE | NLMSG_ERROR => return Ok(found),
                    RTM_NEWADDR => found.extend(address_of(index, body)),
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn add_default_route(&self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let mut body = default_route(index);
        attribute(&mut body, RTA_GATEWAY, gateway.octets());
        self.ask(RTM_NEWROUTE, PUT, &body)
    }

    pub(crate) fn remove_default_route(&self, index: u32) -> io::Result<()> {
        self.ask(RTM_DELROUTE, CHANGE, &default_route(index))
    }

    fn send(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        // Sequence and port: one question at a time, so neither matters.
        message.extend([0; 8]);
        message.extend_from_slice(body);
        send(&self.0, &message, SendFlags::empty())?;
        Ok(())
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.send(kind, flags, body)?;
        let mut answer = [0; 4096];
        let (count, _) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        match verdict(&answer[..count]) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
            None => Err(io::Error::other("the kernel's answer is not understood")),
        }
    }
}

fn link(index: u32, flags: u32, which: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(which.to_ne_bytes());
    body
}

fn address(index: u32, ip: Ipv4Addr, prefix: u8) -> Vec<u8> {
    let mut body = vec![AF_INET, prefix, 0, 0];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, ip.octets());
    attribute(&mut body, IFA_ADDRESS, ip.octets());
    body
}

fn default_route(index: u32) -> Vec<u8> {
    let mut body = vec![AF_INET, 0, 0, 0];
    body.extend(ROUTE);
    body.extend([0; 4]);
    attribute(&mut body, RTA_OIF, index.to_ne_bytes());
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    body.extend(8_u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

/// The messages of an answer, by kind.
fn messages(mut answer: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(answer, 0)?).ok()?;
        let body = answer.get(16..length)?;
        let kind = half(answer, 4)?;
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The address that a message tells of, if it is the interface's.
fn address_of(index: u32, body: &[u8]) -> Option<(Ipv4Addr, u8)> {
    let prefix = *body.get(1)?;
    let mut attributes = body.get(8..).filter(|_| word(body, 4) == Some(index))?;
    loop {
        let length = usize::from(half(attributes, 0)?);
        if half(attributes, 2)? == IFA_LOCAL {
            let octets: [u8; 4] = attributes.get(4..length)?.try_into().ok()?;
            return Some((octets.into(), prefix));
        }
        // An attribute of no length would be read forever.
        attributes = attributes.get(length.next_multiple_of(4).max(4)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The error number of an acknowledgement.
fn verdict(answer: &[u8]) -> Option<i32> {
    let (kind, number) = (half(answer, 4)?, answer.get(16..20)?);
    (kind == NLMSG_ERROR).then_some(i32::from_ne_bytes(number.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_back_as_they_are_written() {
        let ip = Ipv4Addr::new(10, 0, 2, 15);
        let body = address(7, ip, 24);
        assert_eq!(address_of(7, &body), Some((ip, 24)));
        assert_eq!(address_of(8, &body), None);
        for cut in 0..body.len() {
            address_of(7, &body[..cut]);
        }
    }

    #[test]
    fn the_loopback_has_its_address() {
        let addresses = Netlink::open().unwrap().addresses(1).unwrap();
        assert!(addresses.contains(&(Ipv4Addr::LOCALHOST, 8)), "{addresses:?}");
    }
}
