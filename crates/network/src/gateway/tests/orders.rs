//! What a server asks for while a gateway runs.

use std::net::TcpStream;

use machine_core::network::{Forward, NetworkMode, NetworkSpec};
use machine_core::policy::egress::{Protocol, Verdict};
use machine_core::promise::network::{Host, Question};

use super::guest;
use super::{Stage, loopback, network};
use crate::control::ControlError;
use crate::listen;

const ROOM: usize = 16 * 1024;

fn bound(guest: u16) -> (Forward, std::os::fd::OwnedFd) {
    listen::bind(&format!("0:{guest}").parse().unwrap()).unwrap()
}

#[test]
fn rules_hold_from_the_moment_they_are_set() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let before = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(before);
    stage.control(async |client| client.set(&network(Verdict::Deny, &[]), Vec::new()).await).unwrap();
    stage.guest.gone(before);
    let refused = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.turn();
    stage.guest.gone(refused);
    stage.control(async |client| client.set(&loopback(), Vec::new()).await).unwrap();
    let after = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(after);
    stage.guest.send(after, b"hello");
    assert_eq!(stage.guest.read(after, 5), b"hello");
}

#[test]
fn connections_that_stay_allowed_stay() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    let narrower = network(Verdict::Deny, &[&format!("host.machine.internal:{}", server.port())]);
    stage.control(async |client| client.set(&narrower, Vec::new()).await).unwrap();
    stage.guest.send(conn, b"hello");
    assert_eq!(stage.guest.read(conn, 5), b"hello");
}

#[test]
fn forwards_come_and_go() {
    let mut stage = Stage::new(loopback());
    let (forward, socket) = bound(90);
    let with = NetworkSpec { forwards: vec![forward], ..loopback() };
    stage.control(async |client| client.set(&with, vec![(forward, socket)]).await).unwrap();
    let status = stage.control(async |client| client.status().await).unwrap();
    assert_eq!((status.network.as_ref(), status.deaf.as_slice()), (Some(&with), &[][..]));
    let listener = stage.guest.listen(90, ROOM);
    let stream = TcpStream::connect(forward.listen).unwrap();
    stage.guest.established(listener);
    // It is still listened for without being handed over again.
    stage.control(async |client| client.set(&with, Vec::new()).await).unwrap();
    stage.control(async |client| client.set(&loopback(), Vec::new()).await).unwrap();
    assert!(TcpStream::connect(forward.listen).is_err());
    // Whoever is connected stays.
    stage.guest.send(listener, b"x");
    drop(stream);
}

#[test]
fn a_change_that_cannot_be_followed_closes() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    let (forward, socket) = bound(91);
    drop(socket);
    let without_socket = NetworkSpec { forwards: vec![forward], ..loopback() };
    let error = stage.control(async |client| client.set(&without_socket, Vec::new()).await).unwrap_err();
    assert!(matches!(&error, ControlError::Refused { why } if why.contains("no socket came")), "{error}");
    stage.guest.gone(conn);
    let refused = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.turn();
    stage.guest.gone(refused);
    assert_eq!(stage.control(async |client| client.status().await).unwrap().network, None);
    let told = stage.told();
    assert!(told.contains("closed: the last change could not be followed"), "{told}");
    stage.control(async |client| client.set(&loopback(), Vec::new()).await).unwrap();
    let after = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(after);
}

#[test]
fn a_network_is_not_taken_away_from_a_gateway() {
    let stage = Stage::new(loopback());
    let none = NetworkSpec { mode: NetworkMode::None, ..loopback() };
    let error = stage.control(async |client| client.set(&none, Vec::new()).await).unwrap_err();
    assert!(matches!(error, ControlError::Refused { .. }));
}

#[test]
fn a_plan_whose_port_is_taken_is_followed_and_says_so() {
    let (forward, _socket) = bound(92);
    let stage = Stage::new(NetworkSpec { forwards: vec![forward], ..loopback() });
    let status = stage.control(async |client| client.status().await).unwrap();
    assert_eq!(status.deaf, [forward]);
    assert!(status.attached);
}

#[test]
fn what_would_happen_is_explained() {
    let stage = Stage::new(loopback());
    let explain = |host: Host, port| {
        let question = Question { host, port, protocol: Protocol::Tcp };
        stage.control(async |client| client.explain(&question).await).unwrap()
    };
    let metadata = explain(Host::Address("169.254.169.254".parse().unwrap()), 80);
    let (address, decision) = &metadata.addresses[0];
    assert_eq!((address.to_string().as_str(), decision.verdict), ("169.254.169.254", Verdict::Deny));
    let own = explain(Host::Name("host.machine.internal".parse().unwrap()), 80);
    assert_eq!(own.addresses[0].1.verdict, Verdict::Allow);
    let denied = explain(Host::Name("example.com".parse().unwrap()), 443);
    assert_eq!(denied.resolve.unwrap().verdict, Verdict::Deny);
    assert!(denied.addresses.is_empty());
}
