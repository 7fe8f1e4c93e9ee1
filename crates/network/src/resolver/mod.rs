//! Resolves names for the guest, at 10.0.2.3: asks the host's own servers for names that the rules allow, takes
//! addresses out of answers that no machine may reach, and pins the rest to the name that was asked for. Knows
//! nothing of frames and flows: messages come in and go out.
//!
//! ```text
//! question ──▶ limits ──▶ screen ──▶ answered here, or refused
//!                           └──▶ upstream ──▶ sift ──▶ pins and answer
//! ```
//! Its descriptor is readable when a server answered (`ready`); `tick` at `next_deadline`. After each call the
//! outcomes are to be taken.

mod config;
mod explain;
mod frames;
mod inquiry;
mod limits;
mod message;
mod screen;
mod sift;
#[cfg(test)]
mod tests;
mod upstream;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use machine_core::network::GATEWAY;
use machine_core::policy::egress::{Condition, Decision, DomainName, Verdict};
use machine_core::promise::network::{Host, Question};

use crate::gatekeeper::Gatekeeper;
use crate::refusals::{Refusal, Refusals, Refused};
use inquiry::Inquiry;
use limits::Limits;
use message::{Answer, Asked, Unreadable};
use screen::{Course, Own};
use upstream::{Done, Upstream};

pub(crate) use explain::Found;
pub(crate) use frames::Frames;

/// Where servers are asked.
pub(crate) const PORT: u16 = 53;

/// Resolves.
#[derive(Debug)]
pub(crate) struct Resolver {
    upstream: Upstream<For>,
    limits: Limits,
    ipv6: Ipv6,
    explaining: HashMap<u64, Found>,
    outcomes: VecDeque<Outcome>,
}

/// Who of the guest asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// By a datagram from there.
    Udp(SocketAddr),
    /// By a stream; the caller's number for it.
    Tcp(u64),
}

/// Whether the host has a way to IPv6 addresses outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// It has.
    Route,
    /// It has not: no such addresses are answered.
    NoRoute,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A message for the guest; for a stream with its length before it.
    Reply {
        /// Who asked.
        asker: Asker,
        /// The message.
        bytes: Vec<u8>,
    },
    /// What is to be explained.
    Found(Found),
}

/// What answers are judged by, and refusals told to, at one moment.
pub(crate) struct Moment<'a> {
    /// When.
    pub(crate) now: Instant,
    /// Decides, and remembers.
    pub(crate) gatekeeper: &'a mut Gatekeeper,
    /// Tells.
    pub(crate) refusals: &'a mut Refusals,
}

/// Whom an answer is for.
#[derive(Debug)]
enum For {
    Guest { asker: Asker, asked: Box<Asked> },
    Explanation(u64),
}

impl Resolver {
    /// Asks the servers that this file names, at this port.
    pub(crate) fn new(now: Instant, config: &Path, port: u16, ipv6: Ipv6) -> io::Result<Self> {
        let upstream = Upstream::new(config, port)?;
        let (explaining, outcomes) = (HashMap::new(), VecDeque::new());
        Ok(Self { upstream, limits: Limits::new(now), ipv6, explaining, outcomes })
    }

    /// Says that the host's ways changed.
    pub(crate) fn set_ipv6(&mut self, ipv6: Ipv6) {
        self.ipv6 = ipv6;
    }

    /// Takes a question of the guest: a datagram, or a message of a stream without its length.
    pub(crate) fn query(&mut self, moment: &mut Moment<'_>, asker: Asker, bytes: &[u8]) {
        let asked = match Asked::read(bytes) {
            Ok(asked) => asked,
            Err(Unreadable::Silence) => return,
            Err(Unreadable::Say(bytes)) => return self.say(asker, bytes),
        };
        if let Some(rule) = self.limits.over(moment.now, asked.name.as_ref(), asked.query.query_type) {
            moment.tell(rule.to_owned(), None, None);
            return self.reply(asker, &asked, Answer::prohibited(ResponseCode::Refused, rule.to_owned()));
        }
        match screen::screen(&asked, moment.gatekeeper, self.ipv6) {
            Course::Answer(answer) => self.reply(asker, &asked, answer),
            Course::Refuse { answer, rule } => {
                moment.tell(rule, None, asked.name.as_ref());
                self.reply(asker, &asked, answer);
            }
            Course::Ask(_) if self.upstream.is_full() => {
                moment.tell("resolver: too many questions are open".to_owned(), None, None);
                self.reply(asker, &asked, Answer::code(ResponseCode::ServFail));
            }
            Course::Ask(name) => {
                let kind = asked.query.query_type;
                let (dnssec, checking_disabled) = (asked.wants_dnssec(), asked.checking_disabled);
                let inquiry = Inquiry { name, kind, dnssec, checking_disabled };
                let done = self.upstream.ask(moment.now, inquiry, For::Guest { asker, asked: Box::new(asked) });
                self.finish(moment, done);
            }
        }
    }

    /// Finds out what would happen; the answer is an outcome with this number.
    pub(crate) fn explain(&mut self, moment: &mut Moment<'_>, id: u64, question: Question) {
        let mut found = Found::new(id, question);
        let name = match found.question.host.clone() {
            Host::Address(address) => {
                found.addresses.push(address);
                return self.outcomes.push_back(Outcome::Found(found));
            }
            Host::Name(name) => name,
        };
        let decision = match screen::own(&name) {
            Some(own) => found.is_own(own),
            None => moment.gatekeeper.may_resolve(&name),
        };
        let asks = decision.verdict == Verdict::Allow && found.note.is_none();
        found.resolve = Some(decision);
        if !asks || self.upstream.is_full() {
            if asks {
                found.note = Some("too many questions are open at the resolver".to_owned());
            }
            return self.outcomes.push_back(Outcome::Found(found));
        }
        let kinds: &[_] = match self.ipv6 {
            Ipv6::Route => &[RecordType::A, RecordType::AAAA],
            Ipv6::NoRoute => &[RecordType::A],
        };
        found.waits = kinds.len();
        self.explaining.insert(id, found);
        for &kind in kinds {
            let inquiry = Inquiry::addresses(name.clone(), kind);
            let done = self.upstream.ask(moment.now, inquiry, For::Explanation(id));
            self.finish(moment, done);
        }
    }

    /// Forgets what a stream asked: it is closed.
    pub(crate) fn forget(&mut self, stream: u64) {
        self.upstream.forget(|of| match of {
            For::Guest { asker: Asker::Tcp(number), .. } => *number == stream,
            For::Guest { asker: Asker::Udp(_), .. } | For::Explanation(_) => false,
        });
    }

    /// Takes what servers answered.
    pub(crate) fn ready(&mut self, moment: &mut Moment<'_>) {
        let done = self.upstream.ready(moment.now);
        self.finish(moment, done);
    }

    /// Does what time asks for.
    pub(crate) fn tick(&mut self, moment: &mut Moment<'_>) {
        let done = self.upstream.tick(moment.now);
        self.finish(moment, done);
    }

    /// When `tick` is to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.upstream.next_deadline()
    }

    /// The next outcome.
    pub(crate) fn take(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    fn finish(&mut self, moment: &mut Moment<'_>, done: impl IntoIterator<Item = Done<For>>) {
        for Done { inquiry, of, message } in done {
            match of {
                For::Guest { asker, asked } => {
                    let answer = message
                        .map_or(Answer::code(ResponseCode::ServFail), |message| moment.answer(*message, &inquiry));
                    self.reply(asker, &asked, answer);
                }
                For::Explanation(id) => self.found(moment, id, message, &inquiry),
            }
        }
    }

    fn found(&mut self, moment: &Moment<'_>, id: u64, message: Option<Box<Message>>, inquiry: &Inquiry) {
        let Some(found) = self.explaining.get_mut(&id) else { return };
        found.waits -= 1;
        match message {
            None => found.note = Some("the host's resolver does not answer".to_owned()),
            Some(message) => found.heard(sift::sift(*message, inquiry, moment.gatekeeper)),
        }
        if found.waits == 0 {
            self.outcomes.extend(self.explaining.remove(&id).map(Outcome::Found));
        }
    }

    fn reply(&mut self, asker: Asker, asked: &Asked, answer: Answer) {
        self.say(asker, asked.reply(answer, asker));
    }

    fn say(&mut self, asker: Asker, bytes: Vec<u8>) {
        let bytes = match asker {
            Asker::Udp(_) => bytes,
            Asker::Tcp(_) => frames::framed(&bytes),
        };
        self.outcomes.push_back(Outcome::Reply { asker, bytes });
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.upstream.as_fd()
    }
}

impl Moment<'_> {
    /// What the guest is told of a server's answer, by the rules as they are now; its addresses are pinned.
    fn answer(&mut self, message: Message, inquiry: &Inquiry) -> Answer {
        let decision = self.gatekeeper.may_resolve(&inquiry.name);
        if decision.verdict == Verdict::Deny {
            self.tell(decision.rule.clone(), None, Some(&inquiry.name));
            return Answer::prohibited(ResponseCode::NXDomain, decision.rule);
        }
        let sifted = sift::sift(message, inquiry, self.gatekeeper);
        if let Some((name, rule)) = sifted.refused {
            self.tell(rule, None, Some(name.as_ref().unwrap_or(&inquiry.name)));
        }
        for (address, rule) in sifted.removed {
            self.tell(rule, Some(address), Some(&inquiry.name));
        }
        self.gatekeeper.pin(self.now, &inquiry.name, &sifted.addresses, sifted.lifetime);
        sifted.answer
    }

    fn tell(&mut self, rule: String, address: Option<IpAddr>, name: Option<&DomainName>) {
        let refusal = Refusal { rule, what: Refused::Dns, address, port: None, name: name.cloned() };
        self.refusals.tell(self.now, refusal);
    }
}

impl Found {
    fn is_own(&mut self, own: Own) -> Decision {
        let (address, note) = match own {
            Own::Host => (Some(IpAddr::V4(GATEWAY)), "the host's own loopback, at the gateway's address"),
            Own::Localhost => (None, "the machine itself; nothing leaves it"),
            Own::Nobody => (None, "there is no such name"),
        };
        self.addresses.extend(address);
        self.note = Some(note.to_owned());
        Decision { verdict: Verdict::Allow, rule: "resolver: a name of its own".to_owned(), condition: Condition::None }
    }

    fn heard(&mut self, sifted: sift::Sifted) {
        self.addresses.extend(sifted.addresses);
        self.addresses.extend(sifted.removed.into_iter().map(|(address, _)| address));
        if let Some((name, rule)) = sifted.refused {
            let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
            self.note = Some(format!("another name for it is refused: {rule}{name}"));
        }
    }
}
