//! One connection's turn: what arrived is looked at, bytes are moved, a bounded number of packets goes to the
//! guest, and it is noted when to look again.

use std::time::{Duration, Instant};

use machine_core::policy::egress::Condition;
use smoltcp::socket::tcp::State;

use super::carry::{self, Moved};
use super::flow::{Far, Flow, HostEnd, Outflow, Stage, Way};
use super::{End, Tcp, held};
use crate::gateway::around::Around;
use crate::gateway::slots::Key;
use crate::sniff::Sniffer;

/// Packets to the guest in one turn.
const PACKETS: usize = 8;
/// A connection that said nothing for so long gives its memory back.
const RESTING: Duration = Duration::from_secs(2);

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Bytes are moved.
    On,
    /// Bytes stay where they are.
    Wait,
    /// The guest did not answer our call.
    Unheard,
    /// The guest is to see a reset.
    Cut,
}

impl Tcp {
    /// Gives a connection its turn.
    pub(super) fn turn(&mut self, around: &mut Around<'_>, key: Key) {
        let next = match self.advance(around, key) {
            Next::On => self.carry(around, key),
            next @ (Next::Wait | Next::Unheard | Next::Cut) => next,
        };
        match next {
            Next::On | Next::Wait => {}
            Next::Unheard => return self.cut(around, key),
            Next::Cut => self.abort(key),
        }
        if self.give(around, key) {
            return self.queue(key);
        }
        match self.outlook(key) {
            Some(end) => self.end(around, key, end),
            None => self.note(around.now, key),
        }
    }

    /// Whether its stage is over.
    fn advance(&mut self, around: &mut Around<'_>, key: Key) -> Next {
        let Some(flow) = self.flows.get_mut(key) else { return Next::Wait };
        let late = flow.until().is_some_and(|until| until <= around.now);
        let Some(line) = &mut flow.line else { return Next::Wait };
        let answered = is_answered(line.socket().state());
        match flow.stage {
            Stage::Greeting { .. } | Stage::Calling { .. } if answered => {
                around.kept.note(key, &flow.ends);
                let stage = after_handshake(&flow.way, around.now);
                self.enter(key, stage);
                self.look(around, key)
            }
            Stage::Held { .. } => self.look(around, key),
            Stage::Calling { .. } if late => Next::Unheard,
            Stage::Greeting { .. } | Stage::Carrying if late => Next::Cut,
            Stage::Dialling { .. } | Stage::Greeting { .. } | Stage::Calling { .. } | Stage::Cutting => Next::Wait,
            Stage::Carrying | Stage::Draining => Next::On,
        }
    }

    /// Moves bytes both ways.
    fn carry(&mut self, around: &mut Around<'_>, key: Key) -> Next {
        let Some(flow) = self.flows.get_mut(key) else { return Next::Wait };
        let Some(line) = &mut flow.line else { return Next::Wait };
        let moved = match &mut flow.far {
            Far::Host(host) => carry::to_host(line.socket(), host)
                .and_then(|moved| Ok(moved.or(carry::to_guest(host, line.socket())?))),
            Far::Resolver(asking) => {
                let mut questions = Vec::new();
                let moved = asking.carry(around.now, line.socket(), &mut questions);
                around.wishes.questions.extend(questions.into_iter().map(|question| (key, question)));
                Ok(moved)
            }
        };
        match moved {
            Ok(Moved::Something) => {
                flow.moved = Some(around.now);
                Next::On
            }
            Ok(Moved::Nothing) => Next::On,
            Err(_) => Next::Cut,
        }
    }

    /// The guest is to see a reset, and then the host.
    pub(super) fn abort(&mut self, key: Key) {
        self.enter(key, Stage::Cutting);
        if let Some(Flow { line: Some(line), .. }) = self.flows.get_mut(key) {
            line.socket().abort();
        }
    }

    /// Packets to the guest; true if there are more.
    fn give(&mut self, around: &mut Around<'_>, key: Key) -> bool {
        let Some(Flow { line: Some(line), stage, .. }) = self.flows.get_mut(key) else { return false };
        // A connection that the guest is done with has nothing to say to it, and its time must not come: then
        // what the host has not got yet would be thrown away.
        if matches!(stage, Stage::Draining) {
            return false;
        }
        if line.may_wait(around.now).is_some() {
            return false;
        }
        for _ in 0..PACKETS {
            if !self.stack.give(around.now, line, around.outbox) {
                return !around.outbox.has_room();
            }
        }
        true
    }

    /// How it ends, if it does.
    fn outlook(&mut self, key: Key) -> Option<End> {
        let flow = self.flows.get_mut(key)?;
        let state = flow.line.as_mut()?.socket().state();
        match (&flow.stage, &flow.far) {
            (Stage::Cutting, _) => return Some(End::Reset),
            (Stage::Draining, Far::Host(host)) => return is_told(host).then_some(End::Clean),
            (Stage::Draining, Far::Resolver(_)) => return Some(End::Clean),
            (Stage::Dialling { .. } | Stage::Greeting { .. } | Stage::Calling { .. } | Stage::Held { .. }, _) => {}
            (Stage::Carrying, far) => match (is_over(state), far) {
                (Over::No, _) => {}
                (Over::Yes, Far::Host(host)) if !is_told(host) => {
                    let ends = flow.ends;
                    self.enter(key, Stage::Draining);
                    // The guest may use the ends again at once.
                    self.by_ends.remove(&ends);
                }
                (Over::Yes, Far::Host(_) | Far::Resolver(_)) => return Some(End::Clean),
            },
        }
        None
    }

    /// When to look again although nothing came.
    fn note(&mut self, now: Instant, key: Key) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let until = flow.until();
        let Some(line) = &mut flow.line else { return };
        let due = match flow.stage {
            Stage::Draining => None,
            Stage::Dialling { .. }
            | Stage::Greeting { .. }
            | Stage::Calling { .. }
            | Stage::Held { .. }
            | Stage::Carrying
            | Stage::Cutting => line.may_wait(now).or_else(|| self.stack.due(now, line)),
        };
        let mut rest = flow.moved.map(|moved| moved + RESTING);
        if rest.is_some_and(|at| at <= now) {
            self.lines.rest(line);
            (flow.moved, rest) = (None, None);
        }
        if let Some(at) = [until, due, rest].into_iter().flatten().min() {
            self.timers.note(key, &mut flow.noted, at);
        }
    }
}

/// Whether the guest is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Yes,
    No,
}

/// Both sides said to the guest's end that they are done. The guest needs no answer of ours after that: on this
/// wire nothing is lost, so nobody waits for what may be underway twice.
const fn is_over(state: State) -> Over {
    match state {
        State::Closed | State::TimeWait => Over::Yes,
        State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck => Over::No,
    }
}

/// Whether the handshake is over.
const fn is_answered(state: State) -> bool {
    match state {
        State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => true,
        State::Closed | State::Listen | State::SynSent | State::SynReceived => false,
    }
}

/// Whether the host has got all, and its end.
fn is_told(host: &HostEnd) -> bool {
    host.outflow == Outflow::Ended
}

fn after_handshake(way: &Way, now: Instant) -> Stage {
    match way {
        Way::Out { condition: Condition::Name, .. } => {
            Stage::Held { sniffer: Sniffer::default(), seen: 0, until: now + held::PATIENCE }
        }
        Way::Out { condition: Condition::None, .. } | Way::In { .. } => Stage::Carrying,
    }
}
