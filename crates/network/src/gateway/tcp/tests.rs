//! Connections whose first bytes are to name a host. The rules ask for that only of addresses outside, which no
//! test reaches: so connections to the host's loopback are marked, and the gateway is driven by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use machine_core::machine::Generation;
use machine_core::network::NetworkSpec;
use machine_core::policy::egress::{Condition, EgressPolicy, Verdict};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::flow::Way;
use super::held;
use crate::gateway::Gateway;
use crate::gateway::reactor::Events;
use crate::gateway::tests::guest::{self, Conn, Guest, LONG};
use crate::plan::GatewayPlan;
use crate::refusals::Refusals;

/// A gateway, its guest, and a host that was connected to.
struct Stage {
    gateway: Gateway,
    guest: Guest,
    conn: Conn,
    host: TcpStream,
    /// How much later than it is the gateway believes it is.
    later: Duration,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// The guest is connected, and has said nothing. `good.test` and what is below `fine.test` are allowed.
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let port = address.port();
        let dialled = rules(&["127.0.0.1".to_owned()]);
        // Not the address any more: then no name would matter.
        let named = rules(&[format!("good.test:{port}"), format!("*.fine.test:{port}")]);
        let folder = tempfile::tempdir().unwrap();
        let plan = GatewayPlan {
            machine: "m0123456789abcdefghij".parse().unwrap(),
            generation: Generation(1),
            mac: guest::MAC,
            control: folder.path().join("control.sock"),
            flows: folder.path().join("flows"),
            resolver: folder.path().join("resolv.conf"),
            network: NetworkSpec { egress: dialled, ..NetworkSpec::default() },
        };
        let (ours, vmm) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let refusals = Refusals::new(Instant::now(), Box::new(std::io::sink()), jiff::Timestamp::now);
        let mut gateway = Gateway::new(&plan, ours, refusals).unwrap();
        let mut guest = Guest::new(vmm);
        let conn = guest.connect(guest::host(address), 64 * 1024);
        let end = Instant::now() + LONG;
        while !guest.socket(conn).may_send() {
            assert!(Instant::now() < end, "no connection");
            guest.turn();
            drive(&mut gateway, Duration::ZERO);
            mark(&mut gateway);
        }
        gateway.shared.keeper.follow(named);
        let (host, _) = listener.accept().unwrap();
        host.set_nonblocking(true).unwrap();
        Self { gateway, guest, conn, host, later: Duration::ZERO, _folder: folder }
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + LONG;
        while !is_so(self) {
            assert!(Instant::now() < end, "waited in vain for {what}");
            self.guest.turn();
            drive(&mut self.gateway, self.later);
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        self.until("the guest to say it", |stage| {
            let sent = stage.guest.socket(stage.conn).send_slice(rest).unwrap();
            rest = &rest[sent..];
            rest.is_empty() && stage.guest.socket(stage.conn).send_queue() == 0
        });
    }

    fn heard(&mut self, length: usize) -> Vec<u8> {
        let mut heard = vec![0; length];
        let mut got = 0;
        self.until("the host to hear", |stage| {
            match stage.host.read(&mut heard[got..]) {
                Ok(0) => panic!("the guest ended after {got} bytes"),
                Ok(length) => got += length,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            got == heard.len()
        });
        heard
    }

    /// Both sides see a reset, and the host has heard nothing.
    fn see_it_cut(mut self) {
        let mut ended = None;
        self.until("a reset", |stage| {
            match stage.host.read(&mut [0; 64]) {
                _ if ended.is_some() => {}
                Ok(length) => panic!("the host heard {length} bytes, or an end"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => ended = Some(error.kind()),
            }
            ended.is_some() && !stage.guest.socket(stage.conn).is_open()
        });
        assert_eq!(ended, Some(ErrorKind::ConnectionReset));
    }
}

fn rules(allow: &[String]) -> EgressPolicy {
    let allow = allow.iter().map(|entry| entry.parse().unwrap()).collect();
    EgressPolicy { otherwise: Verdict::Deny, allow, deny: Vec::new() }
}

/// As the loop of `run`, without waiting.
fn drive(gateway: &mut Gateway, later: Duration) {
    let mut events = Events::new();
    let now = Instant::now();
    gateway.shared.reactor.wait(&mut events, now, Some(now + Duration::from_millis(1))).unwrap();
    let now = Instant::now() + later;
    for event in events.iter() {
        gateway.take(now, event).unwrap();
    }
    gateway.expire(now);
    gateway.settle(now).unwrap();
}

/// Every connection that is not answered yet is allowed on condition.
fn mark(gateway: &mut Gateway) {
    let keys: Vec<_> = gateway.tcp.flows.iter().map(|(key, _)| key).collect();
    for key in keys {
        if let Some(flow) = gateway.tcp.flows.get_mut(key)
            && let Way::Out { condition, .. } = &mut flow.way
        {
            *condition = Condition::Name;
        }
    }
}

fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

#[test]
fn an_allowed_name_lets_all_bytes_go_and_what_follows() {
    for host in ["good.test", "a.b.fine.test"] {
        let mut stage = Stage::new();
        stage.say(&request(host));
        assert_eq!(stage.heard(request(host).len()), request(host));
        stage.say(b"anything");
        assert_eq!(stage.heard(8), b"anything");
        stage.host.write_all(b"answer").unwrap();
        stage.until("an answer", |stage| stage.guest.socket(stage.conn).recv_queue() == 6);
    }
}

#[test]
fn a_name_in_pieces_is_one() {
    let mut stage = Stage::new();
    for byte in request("good.test") {
        stage.say(&[byte]);
    }
    assert_eq!(stage.heard(request("good.test").len()), request("good.test"));
}

#[test]
fn other_names_and_none_reset_both_sides() {
    for said in
        [&request("other.test")[..], &request("127.0.0.1"), b"\x16\x03\x01\0\x05\x02\0\0\x01x", b"SSH-2.0-x\r\n", b"\0"]
    {
        let mut stage = Stage::new();
        stage.guest.socket(stage.conn).send_slice(said).unwrap();
        stage.see_it_cut();
    }
}

#[test]
fn an_end_before_a_name_resets_both_sides() {
    let mut stage = Stage::new();
    stage.say(b"GET / HTTP/1.1\r\nHo");
    stage.guest.socket(stage.conn).close();
    stage.see_it_cut();
}

#[test]
fn a_guest_that_names_nobody_is_not_waited_for_for_ever() {
    let mut stage = Stage::new();
    stage.say(b"GET / HTTP/1.1\r\nHo");
    stage.later = held::PATIENCE;
    stage.see_it_cut();
}

#[test]
fn what_the_host_says_first_waits_for_the_name() {
    let mut stage = Stage::new();
    stage.host.write_all(b"220 welcome").unwrap();
    stage.say(b"GET / HTTP/1.1\r\n");
    for _ in 0..50 {
        drive(&mut stage.gateway, Duration::ZERO);
        stage.guest.turn();
    }
    assert_eq!(stage.guest.socket(stage.conn).recv_queue(), 0);
    stage.say(b"Host: good.test\r\n\r\n");
    stage.until("the welcome", |stage| stage.guest.socket(stage.conn).recv_queue() == 11);
}
