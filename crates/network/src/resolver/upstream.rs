//! Questions on their way to the host's servers, and what came of them.
//!
//! ```text
//! ask ──▶ try at the first server ──no answer for a while──▶ and at the next ──▶ ... five seconds: no answer
//!           │   │  └─truncated──▶ the same server by TCP     (the last two tries are listened to)
//!           │   └─cannot, or refuses──▶ the next at once ──none is left──▶ no answer
//!           └─answer──▶ the answer
//! ```

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use machine_core::network::Transport;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::config::Config;
use super::inquiry::{Extensions, Heard, Inquiry};
use super::wire::{Received, Wire};

/// Questions that are open at once.
pub(super) const MOST_OPEN: usize = 256;
/// How long a question may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Tries of one question that are listened to.
const LISTENED_TO: usize = 2;
/// Messages of one socket, and events of one call, that are looked at before others have their turn.
const TURN: usize = 64;

/// Asks, for something that it hands back.
#[derive(Debug)]
pub(super) struct Upstream<For> {
    epoll: OwnedFd,
    config: Config,
    open: HashMap<u32, Open<For>>,
    last: u32,
}

#[derive(Debug)]
struct Open<For> {
    inquiry: Inquiry,
    of: For,
    deadline: Instant,
    /// When the next server is asked, or it is looked whether there are other servers by now.
    next: Instant,
    /// Tries that were begun, since the servers are these.
    tried: usize,
    edition: u64,
    tries: Vec<Try>,
    numbers: u32,
}

#[derive(Debug)]
struct Try {
    number: u32,
    server: SocketAddr,
    id: u16,
    extensions: Extensions,
    wire: Wire,
}

/// A question that is done with.
#[derive(Debug)]
pub(super) struct Done<For> {
    pub(super) inquiry: Inquiry,
    pub(super) of: For,
    /// None if no server answered.
    pub(super) message: Option<Box<Message>>,
}

impl<For> Upstream<For> {
    pub(super) fn new(config: &Path, port: u16) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, config: Config::new(config, port), open: HashMap::new(), last: 0 })
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MOST_OPEN
    }

    /// Asks; what cannot even be asked is done with at once.
    pub(super) fn ask(&mut self, now: Instant, inquiry: Inquiry, of: For) -> Option<Done<For>> {
        self.last = self.last.wrapping_add(1);
        let (_, edition) = self.config.servers(now);
        let open =
            Open { inquiry, of, deadline: now + DEADLINE, next: now, tried: 0, edition, tries: Vec::new(), numbers: 0 };
        self.open.insert(self.last, open);
        self.go_on(now, self.last)
    }

    /// Forgets questions.
    pub(super) fn forget(&mut self, gone: impl Fn(&For) -> bool) {
        self.open.retain(|_, open| !gone(&open.of));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.next.min(open.deadline)).min()
    }

    /// What time alone decides.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Done<For>> {
        let is_over = |open: &Open<For>| open.deadline <= now;
        let due: Vec<u32> =
            self.open.iter().filter(|(_, open)| is_over(open) || open.next <= now).map(|(key, _)| *key).collect();
        let mut done = Vec::new();
        for key in due {
            done.extend(if self.open.get(&key).is_some_and(is_over) {
                self.done(key, None)
            } else {
                self.go_on(now, key)
            });
        }
        done
    }

    /// What the sockets have.
    pub(super) fn ready(&mut self, now: Instant) -> Vec<Done<For>> {
        let mut events = Vec::with_capacity(TURN);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return Vec::new();
        }
        let of_event = |event: &epoll::Event| unpacked(event.data.u64());
        events.iter().map(of_event).filter_map(|(key, number)| self.hear(now, key, number)).collect()
    }

    /// Listens to one try.
    fn hear(&mut self, now: Instant, key: u32, number: u32) -> Option<Done<For>> {
        for _ in 0..TURN {
            let open = self.open.get_mut(&key)?;
            let at = open.tries.iter().position(|one| one.number == number)?;
            let one = &mut open.tries[at];
            let heard = match one.wire.receive() {
                Ok(Received::Nothing) => {
                    let data = epoll::EventData::new_u64(packed(key, number));
                    // It was added; if it cannot be changed, the next try comes in time.
                    let _ = epoll::modify(&self.epoll, &one.wire, data, one.wire.interest());
                    return None;
                }
                Ok(Received::Message(bytes)) => open.inquiry.hear(one.id, &bytes),
                Err(_) => Heard::Failed,
            };
            let (server, extensions) = (one.server, one.extensions);
            if heard == Heard::NotOurs {
                continue;
            }
            open.tries.remove(at);
            return match heard {
                Heard::Answer(message) => self.done(key, Some(message)),
                Heard::Truncated => self.again(now, key, server, Transport::Tcp, extensions),
                Heard::NoExtensions if extensions == Extensions::Spoken => {
                    self.again(now, key, server, Transport::Udp, Extensions::Left)
                }
                Heard::NoExtensions | Heard::Failed | Heard::NotOurs => self.go_on(now, key),
            };
        }
        None
    }

    /// The same server in another way; if that cannot be, the next.
    fn again(
        &mut self,
        now: Instant,
        key: u32,
        server: SocketAddr,
        transport: Transport,
        extensions: Extensions,
    ) -> Option<Done<For>> {
        let patience = self.config.servers(now).0.patience;
        let open = self.open.get_mut(&key)?;
        open.next = now + patience;
        match open.begin(&self.epoll, key, server, transport, extensions) {
            Ok(()) => None,
            Err(_) => self.go_on(now, key),
        }
    }

    /// Asks the next server, and those after it as long as one cannot even be asked.
    fn go_on(&mut self, now: Instant, key: u32) -> Option<Done<For>> {
        let (servers, edition) = self.config.servers(now);
        let open = self.open.get_mut(&key)?;
        if open.edition != edition {
            (open.edition, open.tried) = (edition, 0);
        }
        open.next = now + servers.patience;
        while open.tried < servers.addresses.len() * servers.attempts {
            let server = servers.addresses[open.tried % servers.addresses.len()];
            open.tried += 1;
            if open.begin(&self.epoll, key, server, servers.transport, Extensions::Spoken).is_ok() {
                return None;
            }
        }
        if open.tries.is_empty() { self.done(key, None) } else { None }
    }

    fn done(&mut self, key: u32, message: Option<Box<Message>>) -> Option<Done<For>> {
        let Open { inquiry, of, .. } = self.open.remove(&key)?;
        Some(Done { inquiry, of, message })
    }
}

impl<For> AsFd for Upstream<For> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl<For> Open<For> {
    fn begin(
        &mut self,
        epoll: &OwnedFd,
        key: u32,
        server: SocketAddr,
        transport: Transport,
        extensions: Extensions,
    ) -> io::Result<()> {
        let id = random()?;
        let question = self.inquiry.ask(id, extensions).ok_or(io::ErrorKind::InvalidInput)?;
        let wire = Wire::open(server, transport, &question)?;
        self.numbers += 1;
        let data = epoll::EventData::new_u64(packed(key, self.numbers));
        epoll::add(epoll, &wire, data, wire.interest())?;
        if self.tries.len() == LISTENED_TO {
            // Its socket leaves the epoll set as it is closed.
            self.tries.remove(0);
        }
        self.tries.push(Try { number: self.numbers, server, id, extensions, wire });
        Ok(())
    }
}

fn packed(key: u32, number: u32) -> u64 {
    u64::from(key) << 32 | u64::from(number)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of what packed made")]
fn unpacked(data: u64) -> (u32, u32) {
    ((data >> 32) as u32, data as u32)
}

fn random() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(u16::from_ne_bytes(bytes))
}
