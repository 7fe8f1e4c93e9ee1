//! What the resolver tells a guest: beside a real name server on loopback, and a clock that the tests turn.

mod faults;
mod messages;
mod rules;
mod server;

use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use machine_core::policy::egress::{EgressPolicy, Verdict};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use server::{Server, name};

/// A guest that asks, by rules, a server.
struct Stage {
    folder: tempfile::TempDir,
    resolver: Resolver,
    gatekeeper: Gatekeeper,
    refusals: Refusals,
    log: Log,
    now: Instant,
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn policy(otherwise: Verdict, allow: &[&str], deny: &[&str]) -> EgressPolicy {
    let entries = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    EgressPolicy { otherwise, allow: entries(allow), deny: entries(deny) }
}

fn open() -> EgressPolicy {
    EgressPolicy::default()
}

const GUEST: Asker = Asker::Udp(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 2, 15)), 4000));
const SECOND: Duration = Duration::from_secs(1);

fn question(of: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(name(of), kind));
    message
}

/// With extensions, and room for so many bytes.
fn extended(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.edns = Some(edns);
    message
}

impl Stage {
    fn new(policy: EgressPolicy, servers: &[&Server]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let port = servers.first().map_or(1, |server| server.address.port());
        let lines = servers.iter().map(|server| format!("nameserver {}\n", server.address.ip())).collect::<String>();
        let config = folder.path().join("resolv.conf");
        std::fs::write(&config, lines).unwrap();
        let resolver = Resolver::new(now, &config, port, Ipv6::Route).unwrap();
        let log = Log::default();
        let refusals = Refusals::new(now, Box::new(log.clone()), jiff::Timestamp::now);
        Self { folder, resolver, gatekeeper: Gatekeeper::new(policy), refusals, log, now }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Resolver, &mut Moment<'_>) -> T) -> T {
        let Self { resolver, gatekeeper, refusals, now, .. } = self;
        act(resolver, &mut Moment { now: *now, gatekeeper, refusals })
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.with(Resolver::tick);
    }

    fn send(&mut self, asker: Asker, message: &Message) {
        let bytes = message.to_vec().unwrap();
        self.with(|resolver, moment| resolver.query(moment, asker, &bytes));
    }

    /// Waits until something came of a question; the clock of the resolver stands still.
    fn outcome(&mut self) -> Outcome {
        let begin = Instant::now();
        loop {
            if let Some(outcome) = self.resolver.take() {
                return outcome;
            }
            assert!(begin.elapsed() < 20 * SECOND, "nothing came of it");
            self.listen();
        }
    }

    /// Waits a little for a server.
    fn listen(&mut self) {
        let socket = self.resolver.as_fd();
        let moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&moment)).unwrap();
        self.with(Resolver::ready);
    }

    /// Listens until something is so.
    fn listen_until(&mut self, so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !so(self) {
            assert!(begin.elapsed() < 20 * SECOND, "it did not come to that");
            self.listen();
        }
    }

    fn reply(&mut self) -> Message {
        match self.outcome() {
            Outcome::Reply { asker: Asker::Udp(_), bytes } => Message::from_vec(&bytes).unwrap(),
            Outcome::Reply { asker: Asker::Tcp(_), bytes } => {
                let mut frames = Frames::default();
                frames.push(&bytes);
                Message::from_vec(&frames.take().unwrap()).unwrap()
            }
            Outcome::Found(found) => panic!("{found:?}"),
        }
    }

    fn ask(&mut self, of: &str, kind: RecordType) -> Message {
        self.send(GUEST, &question(of, kind));
        self.reply()
    }

    #[track_caller]
    fn is_refused(&mut self, of: &str, kind: RecordType, code: ResponseCode) {
        let reply = self.ask(of, kind);
        assert_eq!((reply.metadata.response_code, reply.answers.len()), (code, 0), "{of} {kind}");
    }

    /// The rules in the log, each with the address it is about.
    fn refused(&self) -> Vec<String> {
        let text = String::from_utf8(self.log.0.take()).unwrap();
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["protocol"], "dns");
            [line["rule"].as_str(), line["address"].as_str()].into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        text.lines().map(line).collect()
    }

    fn names_of(&self, address: &str) -> Vec<String> {
        let names = self.gatekeeper.names_of(self.now, address.parse().unwrap());
        names.iter().map(ToString::to_string).collect()
    }
}

/// The addresses in an answer.
fn addresses(message: &Message) -> Vec<String> {
    let address = |record: &hickory_proto::rr::Record| match &record.data {
        RData::A(a) => Some(a.0.to_string()),
        RData::AAAA(aaaa) => Some(aaaa.0.to_string()),
        _ => None,
    };
    message.answers.iter().filter_map(address).collect()
}
