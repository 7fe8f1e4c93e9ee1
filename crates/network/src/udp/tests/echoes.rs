//! Echo requests over ping sockets. Whether everybody may have one is the host's to say; a namespace of the
//! test's own says yes, where the test may make one.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr};

use super::Around;
use crate::gateway::reactor::{Source, Token};
use crate::packet::samples::{GUEST6, taken_ip};
use crate::packet::{Dropped, Echo};
use crate::udp::Echoes;

fn asked<'a>(destination: &str, sequence: u16, data: &'a [u8]) -> Echo<'a> {
    let destination: IpAddr = destination.parse().unwrap();
    let source = if destination.is_ipv4() { IpAddr::from([10, 0, 2, 15]) } else { GUEST6.into() };
    Echo { source, destination, identifier: 0x1234, sequence, data, ip: &[] }
}

/// Asks whoever answers at that address of the loopback.
fn exchange(destination: &str) {
    let (mut around, mut echoes) = (Around::new(), Echoes::new());
    let mut key = None;
    for (sequence, data) in [(1, b"".as_slice()), (2, b"some data"), (0xffff, &[7; 2000])] {
        let echo = asked(destination, sequence, data);
        let known = echoes.find(&echo);
        assert_eq!(known, key);
        let found = known.unwrap_or_else(|| echoes.open(around.now, &echo, &around.reactor).unwrap());
        key = Some(found);
        echoes.send(around.now, found, &echo).unwrap();
        assert_eq!(around.ready(), Token::new(Source::Echo, found));
        echoes.ready(around.now, found, &mut around.outbox, &mut around.drops);
        let packet = taken_ip(&mut around.outbox);
        let (ident, seq_no) = (0x1234, sequence);
        if echo.destination.is_ipv4() {
            let message = Icmpv4Packet::new_checked(&packet[20..]).unwrap();
            let reply = Icmpv4Repr::parse(&message, &Default::default());
            assert_eq!(reply, Ok(Icmpv4Repr::EchoReply { ident, seq_no, data }));
        } else {
            let message = Icmpv6Packet::new_checked(&packet[40..]).unwrap();
            let reply = Icmpv6Repr::parse(&"::1".parse().unwrap(), &GUEST6, &message, &Default::default());
            assert_eq!(reply, Ok(Icmpv6Repr::EchoReply { ident, seq_no, data }));
        }
    }
    assert_eq!(around.drops.seen().count(), 0);
    echoes.retain(|address| address.to_string() != destination);
    assert_eq!(echoes.len(), 0);
}

/// A network with nothing but a loopback, in which everybody may ping; it ends with its keeper.
struct Network(Child);

impl Network {
    fn new() -> Self {
        const MADE: &str =
            "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range && ip link set lo up && echo made && read end";
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", MADE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "made\n");
        Self(keeper)
    }

    /// Does it in there, in a thread of its own.
    fn within(&self, act: impl FnOnce() + Send) {
        let namespace = File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                act();
            });
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn an_echo_request_goes_there_and_its_answer_comes_back() {
    if rustix::process::geteuid().is_root() {
        let network = Network::new();
        network.within(|| exchange("127.0.0.1"));
        network.within(|| exchange("::1"));
    } else {
        // Without a network of its own the test takes the host's answer, which is one of two.
        let (around, mut echoes) = (Around::new(), Echoes::new());
        match echoes.open(around.now, &asked("127.0.0.1", 1, b""), &around.reactor) {
            Ok(_) => exchange("127.0.0.1"),
            Err(reason) => assert_eq!(reason, Dropped::NoSocket),
        }
    }
}
