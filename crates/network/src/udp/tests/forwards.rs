//! Forwarded ports.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use machine_core::network::{Forward, Transport};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{Around, Found, heard, sent, somebody};
use crate::gateway::reactor::Source;
use crate::gateway::slots::Key;
use crate::packet::samples::at;
use crate::packet::{Dropped, Refused};
use crate::udp::UdpForwards;
use crate::udp::forwards::Unheard;

const GUEST: &str = "10.0.2.15:8080";
const SECOND: Duration = Duration::from_secs(1);

/// A port of the host's that is forwarded to the guest's 8080.
struct Forwarded {
    around: Around,
    forwards: UdpForwards,
    forward: Forward,
}

impl Forwarded {
    fn new() -> Self {
        let (around, mut forwards) = (Around::new(), UdpForwards::new());
        let (socket, listen) = somebody();
        socket.set_nonblocking(true).unwrap();
        let forward = Forward { listen, guest: 8080, transport: Transport::Udp };
        forwards.add(forward, socket.into(), &around.reactor).unwrap();
        Self { around, forwards, forward }
    }

    /// Sends to the port; what the guest finds.
    fn asked(&mut self, peer: &UdpSocket, payload: &[u8]) -> Vec<Found> {
        peer.send_to(payload, self.forward.listen).unwrap();
        self.turn();
        self.around.found()
    }

    /// One turn of the loop.
    fn turn(&mut self) {
        let token = self.around.ready();
        assert_eq!(token.source, Source::UdpForward);
        self.forwards.ready(self.around.now, token.key, &mut self.around.outbox, &mut self.around.drops);
    }

    fn answers(&mut self, to: SocketAddr, payload: &[u8]) -> Option<Result<(), Dropped>> {
        self.forwards.takes(self.around.now, &sent(GUEST, &to.to_string(), payload))
    }

    /// The guest refuses what was sent from there.
    fn refused(&self, from: SocketAddr) -> Option<Unheard> {
        self.forwards.refused(&Refused { source: from, destination: at(GUEST) })
    }

    /// Gives the peer a relay; the server's end.
    fn relayed(&mut self, peer: Key) -> OwnedFd {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        self.forwards.relay(peer, ours, &self.around.reactor).unwrap();
        theirs
    }
}

fn packet(relay: &OwnedFd) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let (_, length) = rustix::net::recv(relay, &mut buffer, RecvFlags::empty()).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn each_peer_is_a_port_of_the_gateway_and_gets_its_own_answers() {
    let (mut forwarded, (one, _), (other, _)) = (Forwarded::new(), somebody(), somebody());
    let from_one = forwarded.asked(&one, b"one");
    let from_other = forwarded.asked(&other, b"other");
    let again = forwarded.asked(&one, b"again");
    assert_eq!((from_one[0].to, &from_one[0].payload[..]), (at(GUEST), b"one".as_slice()));
    assert_eq!(
        from_one[0].from.ip(),
        at(GUEST).ip().to_string().replace("15", "2").parse::<std::net::IpAddr>().unwrap()
    );
    assert!(from_one[0].from != from_other[0].from && from_one[0].from == again[0].from);
    assert_eq!(forwarded.answers(from_other[0].from, b"to the other"), Some(Ok(())));
    assert_eq!(forwarded.answers(from_one[0].from, b"to the one"), Some(Ok(())));
    assert_eq!(heard(&one), (b"to the one".to_vec(), forwarded.forward.listen));
    assert_eq!(heard(&other), (b"to the other".to_vec(), forwarded.forward.listen));
}

#[test]
fn what_answers_no_peer_is_left_to_others() {
    let (mut forwarded, (peer, _)) = (Forwarded::new(), somebody());
    let shown = forwarded.asked(&peer, b"question")[0].from;
    let takes = |forwarded: &mut Forwarded, from: &str, to: SocketAddr| {
        let to = to.to_string();
        forwarded.forwards.takes(forwarded.around.now, &sent(from, &to, b"x")).is_some()
    };
    assert!(!takes(&mut forwarded, "10.0.2.15:8081", shown));
    assert!(!takes(&mut forwarded, GUEST, SocketAddr::new(shown.ip(), shown.port() + 1)));
    assert!(!takes(&mut forwarded, GUEST, SocketAddr::new([192, 0, 2, 1].into(), shown.port())));
    assert_eq!(forwarded.refused(SocketAddr::new(shown.ip(), shown.port() + 1)), None);
}

#[test]
fn what_the_guest_refuses_goes_over_a_relay_with_the_first_datagram() {
    let (mut forwarded, (peer, _)) = (Forwarded::new(), somebody());
    let shown = forwarded.asked(&peer, b"first")[0].from;
    let unheard = forwarded.refused(shown).unwrap();
    assert_eq!(unheard.forward, forwarded.forward);
    let relay = forwarded.relayed(unheard.peer);
    assert_eq!(packet(&relay), b"first");
    assert_eq!(forwarded.asked(&peer, b"second"), []);
    assert_eq!(packet(&relay), b"second");
    assert_eq!(forwarded.refused(shown), None, "it is relayed already");
    rustix::net::send(&relay, b"answer", SendFlags::empty()).unwrap();
    forwarded.turn();
    assert_eq!(heard(&peer), (b"answer".to_vec(), forwarded.forward.listen));
    // A relay that ends: the guest's own address is asked again, which may hear now.
    drop(relay);
    forwarded.turn();
    assert_eq!(forwarded.asked(&peer, b"third")[0].payload, b"third");
}

#[test]
fn a_relay_that_nobody_empties_drops_and_does_not_grow() {
    let (mut forwarded, (peer, _)) = (Forwarded::new(), somebody());
    let shown = forwarded.asked(&peer, b"first")[0].from;
    let peer_key = forwarded.refused(shown).unwrap().peer;
    let _relay = forwarded.relayed(peer_key);
    while forwarded.around.drops.of(Dropped::HostFull) == 0 {
        forwarded.asked(&peer, &[0; 30_000]);
    }
    assert!(forwarded.around.outbox.is_empty());
}

#[test]
fn a_forward_that_is_taken_away_takes_its_peers_along() {
    let (mut forwarded, (peer, _)) = (Forwarded::new(), somebody());
    let shown = forwarded.asked(&peer, b"question")[0].from;
    let relay = forwarded.relayed(forwarded.refused(shown).unwrap().peer);
    assert_eq!(packet(&relay), b"question");
    let forward = forwarded.forward;
    forwarded.forwards.remove(&forward);
    assert_eq!((forwarded.forwards.len(), packet(&relay)), (0, Vec::new()));
    assert_eq!(forwarded.answers(shown, b"late"), None);
    // Its port is free again.
    UdpSocket::bind(forward.listen).unwrap();
}

#[test]
fn peers_are_forgotten_and_never_too_many() {
    let mut forwarded = Forwarded::new();
    let start = forwarded.around.now;
    let peers: Vec<_> = (0..300).map(|_| somebody().0).collect();
    for (index, peer) in (0..).zip(&peers) {
        forwarded.around.now = start + Duration::from_millis(index);
        assert_eq!(forwarded.asked(peer, b"x").len(), 1);
    }
    assert_eq!(forwarded.forwards.len(), 256);
    assert_eq!(forwarded.forwards.next_deadline(), Some(start + 60 * SECOND));
    forwarded.forwards.expire(start + 61 * SECOND);
    assert_eq!((forwarded.forwards.len(), forwarded.forwards.next_deadline()), (0, None));
}
