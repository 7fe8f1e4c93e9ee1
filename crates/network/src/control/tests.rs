//! Both ends of the control socket, over a real one.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use machine_core::network::{Forward, NetworkSpec, Transport};

use super::*;
use crate::gateway::reactor::{Events, Reactor, Source};

const SOON: Duration = Duration::from_secs(20);

/// Serves one request after another with what `answer` says, until the client leaves.
fn serve(
    mut clients: Clients,
    mut answer: impl FnMut(&mut Clients, crate::gateway::slots::Key, Request, Vec<OwnedFd>) -> Option<Reply>,
) {
    let (reactor, mut events) = (Reactor::new().unwrap(), Events::new());
    clients.register(&reactor).unwrap();
    let end = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < end, "the client stays too long");
        reactor.wait(&mut events, Instant::now(), Some(end)).unwrap();
        for event in events.iter() {
            match event.token.source {
                Source::Control => clients.knocked(&reactor),
                _ => match clients.said(event.token.key) {
                    Some(Doing::Asked(key, request, beside)) => {
                        if let Some(reply) = answer(&mut clients, key, request, beside) {
                            clients.reply(key, &reply);
                        }
                    }
                    Some(Doing::Left) => return,
                    None => {}
                },
            }
        }
    }
}

fn forward(text: &str) -> Forward {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_is_set_arrives_with_its_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let clients = Clients::listen(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (told, hears) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        serve(clients, |_, _, request, beside| {
            told.send((request, beside.len())).unwrap();
            Some(Reply::Done)
        });
    });
    let mut client = Client::connect(&path, SOON).await.unwrap();
    let network = NetworkSpec { forwards: vec![forward("8080:80")], ..NetworkSpec::default() };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    client.set(&network, vec![(forward("8080:80"), listener.into())]).await.unwrap();
    assert!(matches!(client.status().await, Err(ControlError::Dialect { .. })));
    drop(client);
    server.join().unwrap();
    let heard: Vec<_> = hears.iter().collect();
    assert_eq!(heard[0], (Request::Set { network, listening: vec![forward("8080:80")] }, 1));
    assert_eq!(heard[1], (Request::Status, 0));
}

#[tokio::test]
async fn a_refusal_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let clients = Clients::listen(&path).unwrap();
    let server =
        std::thread::spawn(move || serve(clients, |_, _, _, _| Some(Reply::Failed { why: "not today".to_owned() })));
    let mut client = Client::connect(&path, SOON).await.unwrap();
    let error = client.set(&NetworkSpec::default(), Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "the gateway refused: not today");
    drop(client);
    server.join().unwrap();
}

#[tokio::test]
async fn a_relay_is_given_connections_until_another_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let clients = Clients::listen(&path).unwrap();
    let server = std::thread::spawn(move || {
        serve(clients, |clients, key, _, _| {
            clients.appoint(key);
            clients.reply(key, &Reply::Done);
            let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            clients.hand_over(80, Transport::Udp, ours.into()).unwrap();
            None
        });
    });
    let mut first = Client::connect(&path, SOON).await.unwrap().relay().await.unwrap();
    let (port, transport, _socket) = first.next().await.unwrap().unwrap();
    assert_eq!((port, transport), (80, Transport::Udp));
    let mut second = Client::connect(&path, SOON).await.unwrap().relay().await.unwrap();
    assert!(second.next().await.unwrap().is_some());
    assert!(first.next().await.unwrap().is_none());
    drop(second);
    server.join().unwrap();
}

#[tokio::test]
async fn a_gateway_that_is_away_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let missing = Client::connect(&path, Duration::ZERO).await.unwrap_err();
    assert!(matches!(missing, ControlError::Socket { .. }), "{missing}");
    let waiting = tokio::spawn({
        let path = path.clone();
        async move { Client::connect(&path, SOON).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let _clients = Clients::listen(&path).unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let _clients = Clients::listen(&path).unwrap();
    let mut client = Client::connect(&path, Duration::from_millis(1)).await.unwrap();
    assert!(matches!(client.status().await, Err(ControlError::Silent { .. })));
}
