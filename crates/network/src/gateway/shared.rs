//! What all parts of a gateway use, kept apart from them so that it can be lent while one of them works.

use std::time::Instant;

use smoltcp::wire::EthernetAddress;

use super::around::{Around, Wishes};
use super::flows_file::FlowsFile;
use super::reactor::Reactor;
use crate::gatekeeper::Gatekeeper;
use crate::packet::{Drops, Outbox};
use crate::refusals::Refusals;
use crate::resolver::Moment;

/// What is lent.
pub(super) struct Shared {
    pub(super) reactor: Reactor,
    pub(super) outbox: Outbox,
    pub(super) keeper: Gatekeeper,
    pub(super) refusals: Refusals,
    pub(super) kept: FlowsFile,
    pub(super) drops: Drops,
    pub(super) wishes: Wishes,
}

impl Shared {
    pub(super) fn new(
        reactor: Reactor,
        guest: EthernetAddress,
        keeper: Gatekeeper,
        refusals: Refusals,
        kept: FlowsFile,
    ) -> Self {
        let (outbox, drops, wishes) = (Outbox::new(guest), Drops::default(), Wishes::default());
        Self { reactor, outbox, keeper, refusals, kept, drops, wishes }
    }

    /// For connections.
    pub(super) fn around(&mut self, now: Instant) -> Around<'_> {
        Around {
            now,
            reactor: &self.reactor,
            outbox: &mut self.outbox,
            keeper: &self.keeper,
            refusals: &mut self.refusals,
            kept: &mut self.kept,
            drops: &mut self.drops,
            wishes: &mut self.wishes,
        }
    }

    /// For the resolver.
    pub(super) fn moment(&mut self, now: Instant) -> Moment<'_> {
        Moment { now, gatekeeper: &mut self.keeper, refusals: &mut self.refusals }
    }
}
