//! What the guest begins.

use std::sync::mpsc;
use std::time::Duration;

use machine_core::policy::egress::Verdict;
use smoltcp::socket::tcp::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::guest::{self, LONG};
use super::{Stage, loopback, network};

const ROOM: usize = 256 * 1024;

/// Bytes that differ from place to place.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + place / 251) as u8).collect()
}

#[test]
fn what_the_guest_says_comes_back() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    stage.guest.send(conn, b"hello");
    assert_eq!(stage.guest.read(conn, 5), b"hello");
    stage.guest.socket(conn).close();
    stage.guest.until("the end", |guest| !guest.socket(conn).may_recv());
    stage.until_empty();
}

#[test]
fn much_goes_both_ways_whole() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    let said = text(20 << 20);
    let (mut sent, mut heard) = (0, Vec::new());
    stage.guest.until("all to come back", |guest| {
        let socket = guest.socket(conn);
        sent += socket.send_slice(&said[sent..]).unwrap();
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), heard.extend_from_slice(bytes))).unwrap();
        }
        heard.len() == said.len()
    });
    assert!(heard == said, "the bytes were changed on their way");
}

#[test]
fn each_side_may_end_first() {
    let mut stage = Stage::new(loopback());
    let server = stage.serve(async |mut stream: TcpStream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all.len().to_string().into_bytes()).await.unwrap();
    });
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    stage.guest.send(conn, &text(100_000));
    stage.guest.socket(conn).close();
    assert_eq!(stage.guest.read(conn, 6), b"100000");
    stage.until_empty();

    let (told, hears) = mpsc::channel();
    let server = stage.serve(move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            stream.write_all(b"bye").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            told.send(all.len()).unwrap();
        }
    });
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.until("the end", |guest| guest.state(conn) == State::CloseWait);
    assert_eq!(stage.guest.read(conn, 3), b"bye");
    stage.guest.send(conn, &text(100_000));
    stage.guest.socket(conn).close();
    stage.until_empty();
    assert_eq!(hears.recv_timeout(LONG).unwrap(), 100_000);
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let mut stage = Stage::new(loopback());
    let conn = stage.guest.connect(guest::host(stage.deaf_port()), ROOM);
    stage.guest.turn();
    stage.guest.gone(conn);
    stage.until_empty();
}

#[test]
fn what_the_rules_forbid_is_refused_and_told() {
    let mut stage = Stage::new(network(Verdict::Allow, &[]));
    let server = stage.echo();
    for to in [guest::host(server), "10.1.2.3:80".parse().unwrap(), "169.254.169.254:80".parse().unwrap()] {
        let conn = stage.guest.connect(to, ROOM);
        stage.guest.turn();
        stage.guest.gone(conn);
    }
    let told = stage.told();
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.contains("reserved 169.254.0.0/16"), "{told}");
}

#[test]
fn a_reset_of_the_host_reaches_the_guest() {
    let mut stage = Stage::new(loopback());
    let server = stage.serve(async |stream: TcpStream| {
        let mut stream = stream;
        let _ = stream.read_u8().await;
        stream.set_zero_linger().unwrap();
    });
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    stage.guest.send(conn, b"x");
    stage.guest.gone(conn);
    stage.until_empty();
}

#[test]
fn a_reset_of_the_guest_reaches_the_host() {
    let mut stage = Stage::new(loopback());
    let (told, hears) = mpsc::channel();
    let server = stage.serve(move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            let end = stream.read_u8().await.map_err(|error| error.kind());
            told.send(end).unwrap();
        }
    });
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    stage.guest.socket(conn).abort();
    stage.guest.turn();
    assert_eq!(hears.recv_timeout(LONG).unwrap(), Err(std::io::ErrorKind::ConnectionReset));
    stage.until_empty();
}

#[test]
fn the_resolver_answers_over_a_stream() {
    let mut stage = Stage::new(loopback());
    let conn = stage.guest.connect(std::net::SocketAddrV4::new(guest::RESOLVER, 53), ROOM);
    stage.guest.established(conn);
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["host", "machine", "internal"] {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let mut framed = u16::try_from(question.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(&question);
    // In pieces, and twice.
    for piece in [&framed[..1], &framed[1..20], &framed[20..], &framed[..]] {
        stage.guest.send(conn, piece);
        stage.guest.turn();
    }
    for _ in 0..2 {
        let length = stage.guest.read(conn, 2);
        let answer = stage.guest.read(conn, usize::from(u16::from_be_bytes([length[0], length[1]])));
        assert_eq!(&answer[..2], [0x12, 0x34]);
        assert!(answer.windows(4).any(|four| four == [10, 0, 2, 2]), "{answer:?}");
    }
    stage.guest.socket(conn).close();
    stage.until_empty();
    let conn = stage.guest.connect(std::net::SocketAddrV4::new(guest::RESOLVER, 54), ROOM);
    stage.guest.turn();
    stage.guest.gone(conn);
}

#[test]
fn datagrams_go_there_and_back() {
    let mut stage = Stage::new(loopback());
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let frame = super::faults::udp_frame(4000, guest::HOST, server.local_addr().unwrap().port(), b"ping");
    stage.guest.watch();
    stage.guest.raw(&frame);
    server.set_read_timeout(Some(LONG)).unwrap();
    let mut buffer = [0; 64];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"ping");
    server.send_to(b"pong", from).unwrap();
    stage.guest.until("an answer", |guest| guest.watched().iter().any(|frame| frame.ends_with(b"pong")));
}

#[test]
fn a_silent_connection_stays_and_wakes_nobody_until_it_is_used() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let conn = stage.guest.connect(guest::host(server), ROOM);
    stage.guest.established(conn);
    stage.guest.send(conn, b"hello");
    assert_eq!(stage.guest.read(conn, 5), b"hello");
    // Longer than its memory is kept, and than anything is sent again.
    let later = std::time::Instant::now() + Duration::from_millis(2500);
    stage.guest.until("its memory to be given back", |_| std::time::Instant::now() > later);
    let said = text(300_000);
    let mut sent = 0;
    let mut heard = Vec::new();
    stage.guest.until("all to come back", |guest| {
        let socket = guest.socket(conn);
        sent += socket.send_slice(&said[sent..]).unwrap();
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), heard.extend_from_slice(bytes))).unwrap();
        }
        heard.len() == said.len()
    });
    assert!(heard == said);
}
