//! Hosts that vanish, hosts that babble, and guests that lie.

use crate::stage::{Agent, check, shell};
use machine_guest::protocol::{Ending, Exec, Stdin};
use machine_guest::{GuestError, GuestLink};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// The one stream to the agent, as a virtio-serial port would be: hosts come and go, it stays.
/// Carries `host` until it has sent `bytes` bytes or left.
async fn carry(agent: &mut UnixStream, mut host: DuplexStream, mut bytes: usize) {
    let (mut from_host, mut from_agent) = (vec![0; 4096], vec![0; 4096]);
    while bytes > 0 {
        tokio::select! {
            read = host.read(&mut from_host) => {
                let count = read.unwrap_or(0).min(bytes);
                if count == 0 {
                    return;
                }
                agent.write_all(&from_host[..count]).await.unwrap();
                bytes -= count;
            }
            read = agent.read(&mut from_agent) => {
                let count = read.unwrap();
                if host.write_all(&from_agent[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn talk(stream: DuplexStream) -> Result<(), GuestError> {
    let (link, _) = GuestLink::connect(stream, soon()).await?;
    let command = link.exec(Exec { stdin: Stdin::Open, ..Exec::argv(["cat"]) }).await?;
    loop {
        command.input().stdin(vec![0xf8; 3000]).await?;
    }
}

#[tokio::test]
async fn a_new_host_is_served_wherever_the_old_one_broke_off() {
    let agent = Agent::start();
    agent.link().await.ping().await.unwrap();
    let mut stream = UnixStream::connect(agent.socket()).await.unwrap();
    let mut cut = 1;
    for round in 0..50 {
        cut = (cut * 7 + round) % 20_011;
        let (host, wire) = tokio::io::duplex(1024);
        let talking = tokio::spawn(talk(host));
        carry(&mut stream, wire, cut + 1).await;
        talking.await.unwrap().unwrap_err();
    }
    let (host, wire) = tokio::io::duplex(1024);
    let carrying = tokio::spawn(async move { carry(&mut stream, wire, usize::MAX).await });
    let (link, _) = GuestLink::connect(host, soon()).await.unwrap();
    check(&shell(&link, "echo still here").await, "still here\n", "", Ending::Code(0));
    drop(link);
    carrying.await.unwrap();
}

#[tokio::test]
async fn a_host_that_babbles_harms_nobody() {
    let agent = Agent::start();
    agent.link().await.ping().await.unwrap();
    let mut seed = 1_u64;
    for _ in 0..20 {
        let mut stream = UnixStream::connect(agent.socket()).await.unwrap();
        let mut babble = machine_guest::protocol::MAGIC.to_vec();
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            babble.push(seed.to_le_bytes()[7]);
        }
        stream.write_all(&babble).await.unwrap();
    }
    agent.link().await.ping().await.unwrap();
}

async fn false_guest(answer: impl Fn(&mut Vec<u8>) + Send + 'static) -> Result<(), GuestError> {
    use machine_guest::protocol::{AgentConnection, AgentFacts, AgentState};
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("s")).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let facts = AgentFacts {
            agent_version: String::new(),
            boot_id: String::new(),
            kernel: String::new(),
            state: AgentState::Ready,
        };
        let mut agent = AgentConnection::new(facts);
        let mut chunk = vec![0; 4096];
        loop {
            let mut output = agent.output().to_vec();
            agent.wrote(output.len());
            while let Some(event) = agent.next_event() {
                if let machine_guest::protocol::AgentEvent::Request { .. } = event {
                    answer(&mut output);
                }
            }
            if stream.write_all(&output).await.is_err() {
                return;
            }
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => agent.receive(&chunk[..count]),
            }
        }
    });
    let (link, _) = GuestLink::connect_unix(&folder.path().join("s"), soon()).await?;
    link.ping().await
}

#[tokio::test]
async fn a_guest_that_lies_is_a_named_error() {
    let garbage = false_guest(|output| output.extend([0x55; 100])).await.unwrap_err();
    assert!(matches!(garbage, GuestError::Protocol { .. }), "{garbage:?}");
    let never_opened = false_guest(|output| output.extend([1, 0, 0, 0, 99, 0, 0, 0, 1, 0, 0, 0, 0])).await.unwrap_err();
    assert!(matches!(never_opened, GuestError::Protocol { .. }), "{never_opened:?}");
    let other_answer = [1, 0, 2, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0x82, 0x18, 0x66, 0xa1, 0x00];
    let misfit = false_guest(move |output| output.extend(other_answer.into_iter().chain([0]))).await.unwrap_err();
    assert!(matches!(misfit, GuestError::Protocol { .. } | GuestError::Unexpected { .. }), "{misfit:?}");
}

#[tokio::test]
async fn a_guest_that_answers_without_end_is_cut_off() {
    let flood = false_guest(|output| {
        for _ in 0..100_000 {
            output.extend([1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0x82, 0x18, 0x61, 0xa0]);
        }
    });
    assert!(flood.await.is_err());
}

#[tokio::test]
async fn nobody_at_the_socket_is_a_named_error() {
    let folder = tempfile::tempdir().unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    let error = GuestLink::connect_unix(&folder.path().join("none"), deadline).await.unwrap_err();
    assert!(matches!(error, GuestError::Connect { .. }));
    let (_silent, host) = tokio::io::duplex(1024);
    let deadline = Instant::now() + Duration::from_millis(50);
    assert!(matches!(GuestLink::connect(host, deadline).await, Err(GuestError::NoAnswer { .. })));
}
