//! Datagrams over real sockets of the loopback, or of a network namespace of the test's own.

mod echoes;
mod flows;
mod forwards;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use smoltcp::wire::{Ipv4Packet, UdpPacket};

use crate::gateway::reactor::{Events, Reactor, Token};
use crate::packet::samples::{MAC, at, taken};
use crate::packet::{Drops, Outbox, Udp};

/// What is around the flows in a gateway.
struct Around {
    now: Instant,
    reactor: Reactor,
    outbox: Outbox,
    drops: Drops,
}

/// A datagram as the guest finds it.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
}

impl Around {
    fn new() -> Self {
        let now = Instant::now();
        Self { now, reactor: Reactor::new().unwrap(), outbox: Outbox::new(MAC), drops: Drops::default() }
    }

    /// The next that is ready.
    fn ready(&self) -> Token {
        let mut events = Events::new();
        let start = Instant::now();
        self.reactor.wait(&mut events, start, Some(start + Duration::from_secs(30))).unwrap();
        events.iter().next().expect("something becomes ready").token
    }

    /// The datagrams that wait for the guest, put together if they came in parts.
    fn found(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        let mut datagram = Vec::new();
        for frame in taken(&mut self.outbox) {
            let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
            assert_eq!(packet.next_header(), smoltcp::wire::IpProtocol::Udp);
            datagram.extend_from_slice(packet.payload());
            if !packet.more_frags() {
                let whole = UdpPacket::new_checked(datagram.as_slice()).unwrap();
                found.push(Found {
                    from: (packet.src_addr(), whole.src_port()).into(),
                    to: (packet.dst_addr(), whole.dst_port()).into(),
                    payload: whole.payload().to_vec(),
                });
                datagram.clear();
            }
        }
        found
    }
}

fn sent<'a>(source: &str, destination: &str, payload: &'a [u8]) -> Udp<'a> {
    Udp { source: at(source), destination: at(destination), payload, ip: &[] }
}

/// Somebody of this host, on its loopback.
fn somebody() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What somebody hears next.
fn heard(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    buffer.truncate(length);
    (buffer, from)
}
