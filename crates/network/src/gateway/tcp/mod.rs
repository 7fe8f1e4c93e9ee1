//! TCP connections between the guest and the host's sockets, each ended at both sides: what one side sends is
//! taken as fast as the other takes it, and no faster. Knows the rules only by asking; knows no frames.
//!
//! ```text
//! guest's SYN ──allowed──▶ Dialling ──open──▶ Greeting ──ACK──┬──▶ Carrying ──both ended──▶ (gone)
//!      │refused: RST          │refused: RST                   │        ▲   └──guest first──▶ Draining ──▶ (gone)
//!      ▼                      ▼                               └─▶ Held ┘ name allowed
//!    (gone)                 (gone)                                └──refused: RST on both sides──▶ (gone)
//!
//! host's connection ──▶ Calling ──SYN-ACK──▶ Carrying
//!                         └──refused, or silent──▶ (handed to an agent, or reset)
//! ```
//! A connection that has something to do waits for its turn in one queue; a turn is bounded; turns are given as
//! long as the outbox has room.

mod ahead;
mod asking;
mod call;
mod carry;
mod flow;
mod held;
mod judge;
mod lines;
mod open;
mod owed;
mod stack;
mod timers;
mod turn;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::around::Around;
use super::reactor::Ready;
use super::slots::{Key, Slots};
use crate::packet::{self, Outbox, Segment};
pub(crate) use flow::Ends;
use flow::{Far, Flow, Queued, Stage};
use lines::Lines;
pub(crate) use lines::MOST;
use smoltcp::socket::tcp::State;
use stack::Stack;
use timers::Timers;

/// How many connections may wait for an answer, of the guest or of a host. Then the oldest goes.
pub(super) const HALF_OPEN: usize = 4096;
/// The guest's ports that stand for hosts' connections begin here.
const FIRST_PORT: u16 = 49_152;

/// All connections.
pub(crate) struct Tcp {
    stack: Stack,
    lines: Lines,
    flows: Slots<Flow>,
    by_ends: HashMap<Ends, Key>,
    turns: VecDeque<Key>,
    timers: Timers,
    half_open: HalfOpen,
    next_port: u16,
    ever: u64,
}

/// Those that one side has not answered, the oldest first; and some that were.
#[derive(Debug, Default)]
struct HalfOpen {
    count: usize,
    queue: VecDeque<Key>,
}

/// How a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both sides said that they are done.
    Clean,
    /// The host's side is to see a reset.
    Reset,
}

impl Tcp {
    /// None yet.
    pub(crate) fn new(now: Instant, seed: u64, outbox: &mut Outbox) -> Self {
        Self {
            stack: Stack::new(now, seed, outbox),
            lines: Lines::new(),
            flows: Slots::new(MOST),
            by_ends: HashMap::new(),
            turns: VecDeque::new(),
            timers: Timers::default(),
            half_open: HalfOpen::default(),
            next_port: FIRST_PORT,
            ever: 0,
        }
    }

    /// How many there are; how many of them half open; and how many there ever were.
    pub(crate) fn counts(&self) -> (usize, usize, u64) {
        (self.flows.len(), self.half_open.count, self.ever)
    }

    /// A segment of the guest's.
    pub(crate) fn segment(&mut self, around: &mut Around<'_>, segment: &packet::Tcp<'_>) {
        let ends = Ends { guest: segment.source, other: segment.destination };
        let Some(&key) = self.by_ends.get(&ends) else {
            return match segment.kind {
                Segment::Opens => self.open(around, ends, segment),
                Segment::Answers | Segment::Resets | Segment::Carries => self.refuse(around, segment),
            };
        };
        let Some(flow) = self.flows.get_mut(key) else { return };
        match (&mut flow.line, &mut flow.stage) {
            (Some(line), _) => {
                let before = line.socket().state();
                self.stack.take(around.now, line, segment.ip, around.outbox);
                let after = line.socket().state();
                if is_cut(before, after, segment.kind) {
                    return self.cut(around, key);
                }
                self.queue(key);
            }
            (None, Stage::Dialling { syn }) => match segment.kind {
                Segment::Opens => *syn = segment.ip.into(),
                Segment::Resets => self.end(around, key, End::Reset),
                Segment::Answers | Segment::Carries => {}
            },
            (None, Stage::Greeting { .. } | Stage::Calling { .. } | Stage::Held { .. })
            | (None, Stage::Carrying | Stage::Draining | Stage::Cutting) => {}
        }
    }

    /// A host's socket changed.
    pub(crate) fn ready(&mut self, around: &mut Around<'_>, key: Key, ready: Ready) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let Far::Host(host) = &mut flow.far else { return };
        match flow.stage {
            Stage::Dialling { .. } => {
                if ready.to_write() {
                    host.told(ready);
                    self.dialled(around, key);
                }
            }
            Stage::Greeting { .. }
            | Stage::Calling { .. }
            | Stage::Held { .. }
            | Stage::Carrying
            | Stage::Draining
            | Stage::Cutting => {
                host.told(ready);
                self.queue(key);
            }
        }
    }

    /// Gives turns while the outbox has room; true if there are more to give.
    pub(crate) fn settle(&mut self, around: &mut Around<'_>) -> bool {
        while around.outbox.has_room() {
            let Some(key) = self.turns.pop_front() else { return false };
            let Some(flow) = self.flows.get_mut(key) else { continue };
            flow.queued = Queued::No;
            self.turn(around, key);
        }
        !self.turns.is_empty()
    }

    /// Looks at those whose time has come.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(key) = self.timers.come(now) {
            if let Some(flow) = self.flows.get_mut(key) {
                flow.noted.came();
                self.queue(key);
            }
        }
    }

    /// When the next one's time comes.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn queue(&mut self, key: Key) {
        if let Some(flow) = self.flows.get_mut(key)
            && flow.queued == Queued::No
        {
            flow.queued = Queued::Yes;
            self.turns.push_back(key);
        }
    }

    fn refuse(&mut self, around: &mut Around<'_>, segment: &packet::Tcp<'_>) {
        if let Err(reason) = packet::reset(around.outbox, segment) {
            around.drops.count(reason);
        }
    }

    /// Adds a connection, and lets the oldest unanswered one go where there are too many.
    fn add(&mut self, around: &mut Around<'_>, flow: Flow) -> Option<Key> {
        let (ends, is_half_open) = (flow.ends, flow.is_half_open());
        let key = self.flows.insert(flow)?;
        self.by_ends.insert(ends, key);
        self.ever += 1;
        if is_half_open {
            self.half_open.count += 1;
            self.half_open.queue.push_back(key);
            self.thin_out(around);
        }
        Some(key)
    }

    fn thin_out(&mut self, around: &mut Around<'_>) {
        let (flows, half_open) = (&self.flows, &mut self.half_open);
        let is_half_open = |key: &Key| flows.get(*key).is_some_and(Flow::is_half_open);
        while half_open.queue.front().is_some_and(|key| !is_half_open(key)) {
            half_open.queue.pop_front();
        }
        if half_open.queue.len() > 4 * HALF_OPEN {
            half_open.queue.retain(is_half_open);
        }
        if half_open.count > HALF_OPEN
            && let Some(oldest) = half_open.queue.pop_front()
        {
            self.end(around, oldest, End::Reset);
        }
    }

    /// The next stage of a connection.
    fn enter(&mut self, key: Key, stage: Stage) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let was = flow.is_half_open();
        flow.stage = stage;
        if was && !flow.is_half_open() {
            self.half_open.count -= 1;
        }
    }

    /// A connection is no more.
    fn end(&mut self, around: &mut Around<'_>, key: Key, end: End) {
        let Some(mut flow) = self.flows.remove(key) else { return };
        if self.by_ends.get(&flow.ends) == Some(&key) {
            self.by_ends.remove(&flow.ends);
        }
        if flow.is_half_open() {
            self.half_open.count -= 1;
        }
        self.timers.forget(key, &mut flow.noted);
        around.kept.forget(key);
        if let Some(line) = flow.line {
            self.lines.take_back(line);
        }
        match (flow.far, end) {
            (Far::Host(host), End::Reset) => super::host::reset(host.socket),
            (Far::Host(_), End::Clean) => {}
            (Far::Resolver(_), End::Clean | End::Reset) => around.wishes.silenced.push(key),
        }
    }
}

/// Whether the guest ended a connection before its time.
fn is_cut(before: State, after: State, kind: Segment) -> bool {
    match after {
        // A reset of a half-open one makes it listen again.
        State::Closed | State::Listen => before != State::LastAck || kind == Segment::Resets,
        State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => false,
    }
}
