//! Three requests to the kernel's routing socket, as bytes.

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
/// Request, acknowledge.
const CHANGE: u16 = 0x1 | 0x4;
/// The same, and replace or create; the kernel refuses it for links.
const PUT: u16 = CHANGE | 0x100 | 0x400;
const NLMSG_ERROR: u16 = 2;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
/// Main table, made at boot, whole universe, unicast.
const ROUTE: [u8; 4] = [254, 3, 0, 1];

/// An open routing socket.
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let family = AddressFamily::NETLINK;
        // No protocol number is the one of routes.
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self(socket))
    }

    pub(super) fn bring_up(&self, index: u32) -> io::Result<()> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        self.ask(RTM_NEWLINK, CHANGE, &body)
    }

    pub(super) fn add_address(&self, index: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut body = vec![AF_INET, prefix, 0, 0];
        body.extend(index.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, ip.octets());
        attribute(&mut body, IFA_ADDRESS, ip.octets());
        self.ask(RTM_NEWADDR, PUT, &body)
    }

    pub(super) fn add_default_route(&self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let mut body = vec![AF_INET, 0, 0, 0];
        body.extend(ROUTE);
        body.extend([0; 4]);
        attribute(&mut body, RTA_GATEWAY, gateway.octets());
        attribute(&mut body, RTA_OIF, index.to_ne_bytes());
        self.ask(RTM_NEWROUTE, PUT, &body)
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        // Sequence and port: one question at a time, so neither matters.
        message.extend([0; 8]);
        message.extend_from_slice(body);
        send(&self.0, &message, SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (count, _) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        match verdict(&answer[..count]) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
            None => Err(io::Error::other("the kernel's answer is not understood")),
        }
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    body.extend(8_u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

/// The error number of an acknowledgement.
fn verdict(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?))
}
