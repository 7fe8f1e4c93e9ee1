//! The world beyond the host: servers at all of its addresses, and what they saw. One thread enters its network
//! namespace; every other thread here is started by that one, and is in it, too.

mod bytes;
mod dns;
mod http;
mod tls;
mod zone;

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::stage::places;

/// What a TCP port serves. Every port is served at every address.
pub(crate) mod port {
    /// Sends back what it gets, over TCP and UDP.
    pub(crate) const ECHO: u16 = 7;
    /// Resets a connection that it accepted.
    pub(crate) const RESET: u16 = 9000;
    /// Accepts, and never reads.
    pub(crate) const MUTE: u16 = 9001;
    /// Sends for as long as somebody reads.
    pub(crate) const SOURCE: u16 = 9002;
    /// Counts until the other side has ended, then tells the count.
    pub(crate) const SINK: u16 = 9003;
    /// Sends a little, again and again.
    pub(crate) const DRIP: u16 = 9004;
    /// Nobody listens.
    pub(crate) const CLOSED: u16 = 9999;
}

/// See the module.
pub(crate) struct World {
    seen: Arc<Seen>,
    /// The certificate of who signs for the world's web servers, as PEM.
    pub(crate) authority: String,
}

/// Something that reached a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    /// The server's word.
    pub(crate) service: &'static str,
    /// The address that was reached.
    pub(crate) at: SocketAddr,
    /// Bytes that it got; none: it was only connected to.
    pub(crate) said: Vec<u8>,
}

/// Everything that was seen, and what the resolvers shall do.
#[derive(Default)]
struct Seen {
    sights: Mutex<Vec<Sight>>,
    resolvers_are_down: AtomicBool,
    asked: Mutex<Vec<dns::Asked>>,
}

impl World {
    /// Enters the namespace and opens everything in it.
    pub(crate) fn open(namespace: File) -> Self {
        let seen = Arc::new(Seen::default());
        let (authority, web) = tls::identity();
        let theirs = Arc::clone(&seen);
        let opening = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
            dns::open(&theirs);
            http::open(&theirs, &web);
            bytes::open(&theirs);
        });
        opening.join().expect("the world opens");
        Self { seen, authority }
    }

    /// What reached any server since the last time that somebody asked.
    pub(crate) fn take_sights(&self) -> Vec<Sight> {
        std::mem::take(&mut *locked(&self.seen.sights))
    }

    /// The names and types that any resolver was asked since the last time.
    pub(crate) fn take_questions(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.seen.asked)).into_iter().map(|asked| asked.question).collect()
    }

    /// The resolvers say nothing until told otherwise.
    pub(crate) fn silence_resolvers(&self, silent: bool) {
        self.seen.resolvers_are_down.store(silent, Ordering::SeqCst);
    }
}

impl Seen {
    fn add(&self, service: &'static str, at: SocketAddr, said: &[u8]) {
        let at = SocketAddr::new(at.ip().to_canonical(), at.port());
        locked(&self.sights).push(Sight { service, at, said: said.to_vec() });
    }
}

/// Serves every connection to a port in a thread of its own; that it was made is seen first.
fn serve_tcp(
    seen: &Arc<Seen>,
    service: &'static str,
    port: u16,
    serve: impl Fn(&Seen, TcpStream, SocketAddr) + Clone + Send + 'static,
) {
    let listener = TcpListener::bind(("::", port)).expect("the world's ports are free");
    let seen = Arc::clone(seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(at) = stream.local_addr() else { continue };
            seen.add(service, at, b"");
            let (seen, serve) = (Arc::clone(&seen), serve.clone());
            std::thread::spawn(move || serve(&seen, stream, at));
        }
    });
}

/// Answers every datagram to a port, at each address by a socket of its own, so that answers come from there.
fn serve_udp(
    seen: &Arc<Seen>,
    service: &'static str,
    port: u16,
    answer: impl Fn(&Seen, SocketAddr, &[u8]) -> Option<Vec<u8>> + Clone + Send + 'static,
) {
    for address in addresses() {
        let socket = UdpSocket::bind((address, port)).expect("the world's ports are free");
        let (seen, answer) = (Arc::clone(seen), answer.clone());
        std::thread::spawn(move || {
            let at = socket.local_addr().expect("it is bound");
            let mut bytes = vec![0; 65_536];
            while let Ok((count, from)) = socket.recv_from(&mut bytes) {
                seen.add(service, at, &bytes[..count]);
                if let Some(answer) = answer(&seen, at, &bytes[..count]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
    }
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    let resolvers = [places::RESOLVER, places::VPN_RESOLVER, places::PUBLIC_RESOLVER];
    let four = places::PUBLIC.iter().chain(places::RESERVED).copied().chain(resolvers);
    let six = places::PUBLIC_V6.iter().chain(places::RESERVED_V6).copied();
    four.chain(six).map(|address| address.parse().expect("they are addresses"))
}

fn locked<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
