//! Many at once.

use smoltcp::socket::tcp::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::guest::{self, Conn, GUEST};
use super::{Stage, loopback};
use crate::gateway::tcp::HALF_OPEN;

/// Opens so many connections, and says something on each.
fn crowd(stage: &mut Stage, count: usize) -> Vec<Conn> {
    let server = stage.echo();
    let mut conns = Vec::new();
    while conns.len() < count {
        let some: Vec<Conn> =
            (0..250.min(count - conns.len())).map(|_| stage.guest.connect(guest::host(server), 512)).collect();
        for &conn in &some {
            stage.guest.established(conn);
        }
        conns.extend(some);
    }
    let status = stage.control(async |client| client.status().await).unwrap();
    assert_eq!(status.counts.tcp, count as u64);
    for &conn in &conns {
        stage.guest.socket(conn).send_slice(b"?").unwrap();
    }
    for &conn in &conns {
        assert_eq!(stage.guest.read(conn, 1), b"?");
    }
    conns
}

#[test]
fn a_thousand_connections_at_once_are_carried_and_end() {
    let mut stage = Stage::new(loopback());
    let conns = crowd(&mut stage, 1000);
    for &conn in &conns {
        stage.guest.socket(conn).close();
    }
    stage.until_empty();
}

#[test]
fn connections_one_after_the_other_leave_nothing_behind() {
    let mut stage = Stage::new(loopback());
    // The server ends first: the guest must not keep us waiting for what may be underway twice.
    let server = stage.serve(async |mut stream: TcpStream| stream.write_all(b"hello").await.unwrap());
    for _ in 0..300 {
        let conn = stage.guest.connect(guest::host(server), 4096);
        assert_eq!(stage.guest.read(conn, 5), b"hello");
        stage.guest.until("the host's end", |guest| guest.state(conn) == State::CloseWait);
        stage.guest.socket(conn).close();
        stage.guest.turn();
    }
    stage.until_empty();
}

#[test]
fn a_flood_of_syns_does_not_keep_others_out() {
    let mut stage = Stage::new(loopback());
    let server = stage.echo();
    let before = stage.guest.connect(guest::host(server), 4096);
    stage.guest.established(before);
    let flood = HALF_OPEN + 1000;
    for number in 0..flood {
        // Ports that the guest's own connections do not have.
        let port = 40_000 + u16::try_from(number).unwrap();
        stage.guest.raw(&super::faults::syn_frame(GUEST, port, guest::HOST, server.port()));
        if number % 64 == 0 {
            // The answers are taken and not answered.
            stage.guest.turn_deaf();
        }
    }
    stage.guest.turn_deaf();
    let counts = stage.control(async |client| client.status().await).unwrap().counts;
    assert!(counts.tcp_half_open as usize <= HALF_OPEN, "{counts:?}");
    assert!(counts.tcp as usize <= HALF_OPEN + 1, "{counts:?}");
    let after = stage.guest.connect(guest::host(server), 4096);
    stage.guest.established(after);
    for conn in [before, after] {
        stage.guest.send(conn, b"hello");
        assert_eq!(stage.guest.read(conn, 5), b"hello");
    }
}

#[test]
fn a_guest_that_reads_slowly_makes_the_host_wait() {
    let mut stage = Stage::new(loopback());
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&sent);
    let server = stage.serve(move |mut stream: TcpStream| {
        let counted = std::sync::Arc::clone(&counted);
        async move {
            let piece = vec![7; 64 * 1024];
            while let Ok(length) = stream.write(&piece).await {
                counted.fetch_add(length, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let slow = stage.guest.connect(guest::host(server), 4096);
    stage.guest.until("its room to be full", |guest| guest.socket(slow).recv_queue() == 4096);
    let echo = stage.echo();
    let other = stage.guest.connect(guest::host(echo), 4096);
    stage.guest.established(other);
    // Nobody else has to wait for it.
    for _ in 0..50 {
        stage.guest.send(other, b"hello");
        assert_eq!(stage.guest.read(other, 5), b"hello");
    }
    let before = sent.load(std::sync::atomic::Ordering::Relaxed);
    // A ring of ours, and what the kernel holds at both ends of its loopback.
    assert!(before < 64 << 20, "{before} bytes were taken from the host for a guest that read none");
    assert_eq!(stage.guest.read(slow, 3 << 20).len(), 3 << 20);
    stage.guest.socket(slow).abort();
    stage.guest.socket(other).abort();
    stage.until_empty();
}

#[test]
fn a_host_that_reads_slowly_makes_the_guest_wait() {
    let mut stage = Stage::new(loopback());
    let (go_on, wait) = tokio::sync::watch::channel(());
    let server = stage.serve(move |mut stream: TcpStream| {
        let mut wait = wait.clone();
        async move {
            let _ = wait.changed().await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all.len().to_string().into_bytes()).await.unwrap();
        }
    });
    let slow = stage.guest.connect(guest::host(server), 256 * 1024);
    stage.guest.established(slow);
    let piece = vec![7; 256 * 1024];
    let (mut sent, mut stood) = (0, 0);
    stage.guest.until("the guest to wait", |guest| {
        let more = guest.socket(slow).send_slice(&piece).unwrap();
        sent += more;
        stood = if more == 0 { stood + 1 } else { 0 };
        guest.wait(std::time::Duration::from_millis(5));
        stood > 50
    });
    assert!(sent < 64 << 20, "{sent} bytes were taken from the guest for a host that read none");
    go_on.send(()).unwrap();
    stage.guest.until("all to go", |guest| guest.socket(slow).send_queue() == 0);
    stage.guest.socket(slow).close();
    let answer = sent.to_string();
    assert_eq!(stage.guest.read(slow, answer.len()), answer.as_bytes());
    stage.until_empty();
}
