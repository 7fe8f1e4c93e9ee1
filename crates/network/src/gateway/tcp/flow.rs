//! One connection: between whom, how far it is, and what is at its host's end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use machine_core::policy::egress::{Condition, DomainName};

use super::lines::Line;
use super::timers::Noted;
use crate::gatekeeper::Wanted;
use crate::resolver::Frames;
use crate::sniff::Sniffer;

/// Between whom, as the guest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    /// The guest's end.
    pub(crate) guest: SocketAddr,
    /// The other.
    pub(crate) other: SocketAddr,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) ends: Ends,
    pub(super) way: Way,
    pub(super) stage: Stage,
    /// The guest's end; absent while the host is dialled.
    pub(super) line: Option<Line>,
    pub(super) far: Far,
    pub(super) queued: Queued,
    pub(super) noted: Noted,
    /// When it moved bytes last; absent after its memory was given back.
    pub(super) moved: Option<Instant>,
}

/// Whose idea it was.
#[derive(Debug)]
pub(super) enum Way {
    /// The guest's. A name that the address had when it was allowed, or that the guest said, if there was one.
    Out { wanted: Wanted, condition: Condition, name: Option<DomainName> },
    /// A host's, by a forward to this port of the guest.
    In { port: u16 },
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Stage {
    /// The host is asked; this is what the guest asked with.
    Dialling { syn: Box<[u8]> },
    /// The guest was answered, and is to say that it heard.
    Greeting { until: Instant },
    /// The guest is asked.
    Calling { until: Instant },
    /// The guest's first bytes are to say a name.
    Held { sniffer: Sniffer, seen: usize, until: Instant },
    /// Bytes go both ways.
    Carrying,
    /// The guest is done with us, the host has not got all of it yet.
    Draining,
    /// The guest is to see a reset.
    Cutting,
}

/// What is at the other end.
#[derive(Debug)]
pub(super) enum Far {
    /// A socket of the host.
    Host(HostEnd),
    /// Our own resolver.
    Resolver(Asking),
}

/// A socket of the host, with what is known of it: it is told once each time that changes.
#[derive(Debug)]
pub(super) struct HostEnd {
    pub(super) socket: OwnedFd,
    pub(super) inflow: Inflow,
    pub(super) outflow: Outflow,
}

/// What comes from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inflow {
    /// Nothing, as far as is known.
    Empty,
    /// Something may be there.
    Ready,
    /// Something may be there, and after it the end: it is told no more.
    Last,
    /// The end was seen.
    Ended,
}

/// What goes to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outflow {
    /// It takes more.
    Ready,
    /// It will tell when it takes more.
    Full,
    /// It was told the end.
    Ended,
}

/// A guest that asks our resolver over a stream.
#[derive(Debug)]
pub(super) struct Asking {
    /// Of the next question.
    pub(super) incoming: Frames,
    /// Answers, each after its length.
    pub(super) outgoing: VecDeque<u8>,
    /// Questions without an answer yet.
    pub(super) open: usize,
    /// When it was silent for too long.
    pub(super) until: Instant,
}

/// Whether it waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl Flow {
    pub(super) fn new(ends: Ends, way: Way, stage: Stage, far: Far) -> Self {
        Self { ends, way, stage, line: None, far, queued: Queued::No, noted: Noted::default(), moved: None }
    }

    /// Whether one side has not answered yet.
    pub(super) const fn is_half_open(&self) -> bool {
        match self.stage {
            Stage::Dialling { .. } | Stage::Greeting { .. } | Stage::Calling { .. } => true,
            Stage::Held { .. } | Stage::Carrying | Stage::Draining | Stage::Cutting => false,
        }
    }

    /// When it is given up as it is.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Greeting { until } | Stage::Calling { until } | Stage::Held { until, .. } => Some(until),
            Stage::Carrying => match &self.far {
                Far::Host(_) => None,
                Far::Resolver(asking) => Some(asking.until),
            },
            Stage::Dialling { .. } | Stage::Draining | Stage::Cutting => None,
        }
    }
}

impl HostEnd {
    /// A socket that was just opened: what is there will be told.
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self { socket, inflow: Inflow::Empty, outflow: Outflow::Full }
    }

    /// The reactor told something.
    pub(super) fn told(&mut self, ready: crate::gateway::reactor::Ready) {
        if ready.to_write() && self.outflow == Outflow::Full {
            self.outflow = Outflow::Ready;
        }
        match self.inflow {
            Inflow::Empty | Inflow::Ready if ready.is_ended() => self.inflow = Inflow::Last,
            Inflow::Empty if ready.to_read() => self.inflow = Inflow::Ready,
            Inflow::Empty | Inflow::Ready | Inflow::Last | Inflow::Ended => {}
        }
    }
}
