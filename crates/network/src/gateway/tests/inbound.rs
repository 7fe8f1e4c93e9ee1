//! What hosts begin, by forwards.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use machine_core::network::{Forward, NetworkSpec, Transport};
use smoltcp::socket::tcp::State;

use super::guest::LONG;
use super::{Stage, loopback};
use crate::listen;

const ROOM: usize = 64 * 1024;

/// A gateway with one forward to this port of the guest's.
fn forwarded(guest: u16) -> (Stage, Forward) {
    // Bound once to have a free port; nobody else takes it in the moment between.
    let (forward, socket) = listen::bind(&format!("0:{guest}").parse().unwrap()).unwrap();
    drop(socket);
    (Stage::new(NetworkSpec { forwards: vec![forward], ..loopback() }), forward)
}

fn connect(forward: Forward) -> TcpStream {
    let end = std::time::Instant::now() + LONG;
    loop {
        match TcpStream::connect(forward.listen) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LONG)).unwrap();
                return stream;
            }
            // The gateway's thread has not come so far.
            Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
        }
        std::thread::yield_now();
    }
}

/// What the host reads, while the guest goes on.
fn read_all(stage: &mut Stage, mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let (told, hears) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        told.send(stream.read_to_end(&mut all).map(|_| all)).unwrap();
    });
    let mut got = None;
    stage.guest.until("the host to read", |_| {
        got = hears.try_recv().ok();
        got.is_some()
    });
    reader.join().unwrap();
    got.unwrap()
}

#[test]
fn a_forwarded_port_leads_to_the_guest() {
    let (mut stage, forward) = forwarded(80);
    let listener = stage.guest.listen(80, ROOM);
    let mut stream = connect(forward);
    stream.write_all(b"GET").unwrap();
    stage.guest.established(listener);
    assert_eq!(stage.guest.read(listener, 3), b"GET");
    let remote = stage.guest.socket(listener).remote_endpoint().unwrap();
    assert_eq!(remote.addr, smoltcp::wire::IpAddress::v4(10, 0, 2, 2));
    stage.guest.send(listener, b"answer");
    stage.guest.socket(listener).close();
    assert_eq!(read_all(&mut stage, stream).unwrap(), b"answer");
    stage.until_empty();
}

#[test]
fn a_guest_that_does_not_listen_resets_the_host() {
    let (mut stage, forward) = forwarded(81);
    let stream = connect(forward);
    let error = read_all(&mut stage, stream).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    stage.until_empty();
}

#[test]
fn a_guest_that_resets_later_resets_the_host() {
    let (mut stage, forward) = forwarded(82);
    let listener = stage.guest.listen(82, ROOM);
    let stream = connect(forward);
    stage.guest.established(listener);
    stage.guest.socket(listener).abort();
    let error = read_all(&mut stage, stream).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    stage.until_empty();
}

#[test]
fn a_host_that_leaves_at_once_leaves_nothing_behind() {
    let (mut stage, forward) = forwarded(83);
    for _ in 0..3 {
        let listener = stage.guest.listen(83, ROOM);
        drop(connect(forward));
        stage.guest.until("the host's end", |guest| guest.state(listener) == State::CloseWait);
        stage.guest.socket(listener).close();
        stage.guest.turn();
    }
    stage.until_empty();
}

#[test]
fn what_the_guests_address_refuses_is_handed_to_the_relay() {
    let (mut stage, forward) = forwarded(84);
    let mut relay = stage.runtime.block_on(async {
        let client = crate::control::Client::connect(&stage.plan.control, LONG).await.unwrap();
        client.relay().await.unwrap()
    });
    let mut stream = connect(forward);
    let (told, hears) = mpsc::channel();
    let task = stage.runtime.spawn(async move {
        told.send(relay.next().await.unwrap().unwrap()).unwrap();
        relay
    });
    let mut handed = None;
    stage.guest.until("a relayed connection", |_| {
        handed = hears.try_recv().ok();
        handed.is_some()
    });
    let (port, transport, socket) = handed.unwrap();
    assert_eq!((port, transport), (84, Transport::Tcp));
    let mut relayed = TcpStream::from(socket);
    relayed.set_nonblocking(false).unwrap();
    stream.write_all(b"question").unwrap();
    let mut question = [0; 8];
    relayed.read_exact(&mut question).unwrap();
    relayed.write_all(b"answer").unwrap();
    drop(relayed);
    assert_eq!(read_all(&mut stage, stream).unwrap(), b"answer");
    stage.until_empty();
    drop(stage.runtime.block_on(task));
}
