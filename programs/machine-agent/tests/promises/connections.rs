//! Connections to services on the agent's own loopback: bytes and ends both ways, and what breaks them.

use crate::stage::{Agent, check, pattern, shell};
use bytes::Bytes;
use machine_guest::protocol::{
    Channel, Connect, Ending, FailureCode, HostConnection, HostEvent, MAGIC, Request, Transport,
};
use machine_guest::{Connection, GuestError, GuestLink};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::time::timeout;

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";
const PATIENCE: Duration = Duration::from_secs(20);
/// So many pieces of 64 KiB.
const BLOCKS: u64 = 256;

fn tcp(at: SocketAddr) -> Connect {
    Connect { port: at.port(), transport: Transport::Tcp }
}

fn udp(at: SocketAddr) -> Connect {
    Connect { port: at.port(), transport: Transport::Udp }
}

/// A connection to a listener of ours at `at`, and its other end.
async fn connected(link: &GuestLink, at: &str) -> (Connection, TcpStream) {
    let listener = TcpListener::bind(at).await.unwrap();
    let connection = link.dial(tcp(listener.local_addr().unwrap())).await.unwrap();
    (connection, listener.accept().await.unwrap().0)
}

async fn refused(link: &GuestLink, connect: Connect) {
    let error = link.dial(connect).await.unwrap_err();
    assert_eq!(error.failure_code(), Some(FailureCode::Refused), "{connect:?}: {error}");
}

/// All that comes until the end.
async fn rest(connection: &mut Connection) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = connection.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    assert_eq!(connection.next().await.unwrap(), None, "an end is an end");
    all
}

#[tokio::test]
async fn a_service_is_reached_on_either_loopback() {
    let agent = Agent::start();
    let link = agent.link().await;
    for at in [V4, V6] {
        let (mut connection, mut service) = connected(&link, at).await;
        connection.input().write(Bytes::from_static(b"a\0b")).await.unwrap();
        let mut came = [0; 3];
        service.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"a\0b", "{at}");
        service.write_all(b"back").await.unwrap();
        assert_eq!(connection.next().await.unwrap(), Some(Bytes::from_static(b"back")), "{at}");
    }
}

#[tokio::test]
async fn nobody_there_is_refused() {
    let agent = Agent::start();
    let link = agent.link().await;
    let free = TcpListener::bind(V4).await.unwrap().local_addr().unwrap();
    let connected = UdpSocket::bind(V4).await.unwrap();
    connected.connect(free).await.unwrap();
    refused(&link, tcp(free)).await;
    refused(&link, udp(free)).await;
    refused(&link, udp(connected.local_addr().unwrap())).await;
    for transport in [Transport::Tcp, Transport::Udp] {
        refused(&link, Connect { port: 0, transport }).await;
    }
}

#[tokio::test]
async fn either_side_may_end_first() {
    let agent = Agent::start();
    let link = agent.link().await;
    let (mut ours_first, mut service) = connected(&link, V4).await;
    ours_first.input().write(Bytes::from_static(b"question")).await.unwrap();
    ours_first.input().close().await.unwrap();
    let mut question = String::new();
    service.read_to_string(&mut question).await.unwrap();
    service.write_all(format!("{question}?").as_bytes()).await.unwrap();
    drop(service);
    assert_eq!(rest(&mut ours_first).await, b"question?");
    let (mut theirs_first, mut service) = connected(&link, V4).await;
    service.write_all(b"greeting").await.unwrap();
    service.shutdown().await.unwrap();
    assert_eq!(rest(&mut theirs_first).await, b"greeting");
    theirs_first.input().write(Bytes::from_static(b"late")).await.unwrap();
    theirs_first.input().close().await.unwrap();
    let mut late = String::new();
    service.read_to_string(&mut late).await.unwrap();
    assert_eq!(late, "late");
}

#[tokio::test]
async fn a_service_that_breaks_off_is_an_error_and_no_end() {
    let agent = Agent::start();
    let link = agent.link().await;
    let (mut connection, service) = connected(&link, V4).await;
    service.set_zero_linger().unwrap();
    drop(service);
    let error = connection.next().await.unwrap_err();
    assert!(matches!(error, GuestError::Failed(_)), "{error:?}");
    let written = connection.input().write(Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(written, GuestError::Closed), "{written:?}");
}

#[tokio::test]
async fn a_host_that_leaves_is_a_reset_and_no_end() {
    let agent = Agent::start();
    let link = agent.link().await;
    for ended in [false, true] {
        let (connection, mut service) = connected(&link, V4).await;
        connection.input().write(Bytes::from_static(b"half")).await.unwrap();
        let mut half = [0; 4];
        service.read_exact(&mut half).await.unwrap();
        if ended {
            connection.input().close().await.unwrap();
            assert_eq!(service.read(&mut half).await.unwrap(), 0);
        }
        drop(connection);
        // After our end, only who writes learns that nobody reads any more.
        let error = loop {
            let one = if ended { service.write(b"x").await } else { service.read(&mut half).await };
            match one {
                Ok(count) => assert!(ended && count == 1, "{count}"),
                Err(error) => break error,
            }
        };
        let kinds = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
}

#[tokio::test]
async fn sixteen_mebibytes_go_both_ways_at_once() {
    let agent = Agent::start();
    let link = agent.link().await;
    let (mut connection, service) = connected(&link, V4).await;
    let (mut reader, mut writer) = service.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut reader, &mut writer).await.unwrap() });
    let input = connection.input();
    let writing = tokio::spawn(async move {
        for block in 0..BLOCKS {
            input.write(pattern(block)).await.unwrap();
        }
        input.close().await.unwrap();
    });
    let all = rest(&mut connection).await;
    writing.await.unwrap();
    assert_eq!(all.len(), 16 * 1024 * 1024);
    assert!(all.chunks(65_536).zip(0..).all(|(chunk, block)| chunk == pattern(block)));
}

#[tokio::test]
async fn who_reads_slowly_stops_only_who_writes_to_him() {
    let agent = Agent::start();
    let link = agent.link().await;
    let (mut unread, mut chatty) = connected(&link, V4).await;
    let (stuck, mut deaf) = connected(&link, V4).await;
    let from_service = tokio::spawn(async move {
        for block in 0..BLOCKS {
            chatty.write_all(&pattern(block)).await.unwrap();
        }
    });
    let input = stuck.input();
    let to_service = tokio::spawn(async move {
        for block in 0..BLOCKS {
            input.write(pattern(block)).await.unwrap();
        }
        input.close().await.unwrap();
    });
    for _ in 0..50 {
        check(&shell(&link, "echo here").await, "here\n", "", Ending::Code(0));
    }
    assert!(!from_service.is_finished() && !to_service.is_finished(), "nobody read, and all went");
    assert!(agent.peak_kib() < 24 * 1024, "the agent held {} KiB", agent.peak_kib());
    let mut heard = Vec::new();
    deaf.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard.len(), 16 * 1024 * 1024);
    assert_eq!(rest(&mut unread).await, heard);
    from_service.await.unwrap();
    to_service.await.unwrap();
}

#[tokio::test]
async fn two_hundred_connections_at_once_each_hear_their_own() {
    let agent = Agent::start();
    let link = agent.link().await;
    let listener = TcpListener::bind(V4).await.unwrap();
    let connect = tcp(listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            });
        }
    });
    let connections = (0..200_u32).map(|number| {
        let link = link.clone();
        tokio::spawn(async move {
            let mut connection = link.dial(connect).await.unwrap();
            let word = number.to_string();
            connection.input().write(word.clone().into()).await.unwrap();
            connection.input().close().await.unwrap();
            assert_eq!(rest(&mut connection).await, word.as_bytes());
        })
    });
    for connection in connections.collect::<Vec<_>>() {
        connection.await.unwrap();
    }
}

#[tokio::test]
async fn datagrams_stay_apart_and_come_back_to_whom_they_belong() {
    let agent = Agent::start();
    let link = agent.link().await;
    for at in [V4, V6] {
        let service = UdpSocket::bind(at).await.unwrap();
        let connect = udp(service.local_addr().unwrap());
        let (mut one, mut two) = (link.dial(connect).await.unwrap(), link.dial(connect).await.unwrap());
        let longest = Bytes::from(vec![7; 65_507]);
        for word in [Bytes::from_static(b"one"), Bytes::new(), longest] {
            one.input().write(word.clone()).await.unwrap();
            let mut came = vec![0; 65_536];
            let (count, from) = service.recv_from(&mut came).await.unwrap();
            assert_eq!(came[..count], word, "{at}");
            service.send_to(&came[..count], from).await.unwrap();
            service.send_to(b"again", from).await.unwrap();
            assert_eq!(one.next().await.unwrap(), Some(word));
            assert_eq!(one.next().await.unwrap(), Some(Bytes::from_static(b"again")));
        }
        two.input().write(Bytes::from_static(b"two")).await.unwrap();
        let mut came = [0; 10];
        let (count, from) = service.recv_from(&mut came).await.unwrap();
        service.send_to(&came[..count], from).await.unwrap();
        assert_eq!(two.next().await.unwrap(), Some(Bytes::from_static(b"two")));
    }
}

#[tokio::test]
async fn a_datagram_that_cannot_be_sent_is_lost_and_one_too_long_is_refused() {
    let agent = Agent::start();
    let link = agent.link().await;
    let service = UdpSocket::bind(V4).await.unwrap();
    let connection = link.dial(udp(service.local_addr().unwrap())).await.unwrap();
    let too_long = connection.input().write(vec![0; 65_536].into()).await.unwrap_err();
    assert!(matches!(too_long, GuestError::Datagram(_)), "{too_long:?}");
    connection.input().write(vec![0; 65_535].into()).await.unwrap();
    connection.input().write(Bytes::from_static(b"next")).await.unwrap();
    let mut came = [0; 10];
    let count = service.recv(&mut came).await.unwrap();
    assert_eq!(&came[..count], b"next");
}

#[tokio::test]
async fn a_service_of_datagrams_that_is_gone_refuses_the_next() {
    let agent = Agent::start();
    let link = agent.link().await;
    let service = UdpSocket::bind(V4).await.unwrap();
    let mut connection = link.dial(udp(service.local_addr().unwrap())).await.unwrap();
    drop(service);
    connection.input().write(Bytes::from_static(b"anybody?")).await.unwrap();
    let error = timeout(PATIENCE, connection.next()).await.unwrap().unwrap_err();
    assert_eq!(error.failure_code(), Some(FailureCode::Refused), "{error}");
}

#[tokio::test]
async fn too_many_connections_are_refused_and_leave_room_for_commands() {
    let agent = Agent::start();
    let link = agent.link().await;
    let service = UdpSocket::bind(V4).await.unwrap();
    let connect = udp(service.local_addr().unwrap());
    let mut held = Vec::new();
    let error = loop {
        match link.dial(connect).await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
        assert!(held.len() <= 1024, "there is an end to it");
    };
    assert_eq!(error.failure_code(), Some(FailureCode::Io), "{error}");
    check(&shell(&link, "echo here").await, "here\n", "", Ending::Code(0));
    held.clear();
    // The agent hears of the ends one by one.
    let until = Instant::now() + PATIENCE;
    while link.dial(connect).await.is_err() {
        assert!(Instant::now() < until, "there is no room again");
    }
}

/// A session that writes `babble` into a connection to a service of datagrams.
async fn babble(agent: &Agent, connect: Connect, babble: &[u8]) {
    let mut stream = UnixStream::connect(agent.socket()).await.unwrap();
    let mut host = HostConnection::new(1, "1");
    let mut chunk = vec![0; 4096];
    let mut opened = false;
    while !opened {
        let output = host.output().to_vec();
        stream.write_all(&output).await.unwrap();
        host.wrote(output.len());
        let count = stream.read(&mut chunk).await.unwrap();
        host.receive(&chunk[..count]).unwrap();
        opened = std::iter::from_fn(|| host.next_event()).any(|event| matches!(event, HostEvent::Welcomed(_)));
    }
    let stream_of = host.open(&Request::from(connect)).unwrap();
    host.send_data(stream_of, Channel::Content, babble).unwrap();
    host.end(stream_of, Channel::Content).unwrap();
    // Data after its end, for good measure.
    host.send_data(stream_of, Channel::Content, babble).unwrap();
    stream.write_all(host.output()).await.unwrap();
}

#[tokio::test]
async fn a_host_that_babbles_into_a_connection_harms_nobody() {
    let agent = Agent::start();
    agent.link().await.ping().await.unwrap();
    let datagrams = UdpSocket::bind(V4).await.unwrap();
    let streams = TcpListener::bind(V4).await.unwrap();
    let mut seed = 1_u64;
    for round in 0..50 {
        let mut bytes = MAGIC.to_vec();
        for _ in 0..round * 100 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.push(seed.to_le_bytes()[7]);
        }
        babble(&agent, udp(datagrams.local_addr().unwrap()), &bytes).await;
        babble(&agent, tcp(streams.local_addr().unwrap()), &bytes).await;
    }
    agent.link().await.ping().await.unwrap();
    assert!(agent.peak_kib() < 24 * 1024, "the agent held {} KiB", agent.peak_kib());
}
