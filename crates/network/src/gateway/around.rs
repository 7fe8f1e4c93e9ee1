//! What the parts of a gateway share for the time of one call.

use std::os::fd::OwnedFd;
use std::time::Instant;

use super::flows_file::FlowsFile;
use super::reactor::Reactor;
use super::slots::Key;
use crate::gatekeeper::Gatekeeper;
use crate::packet::{Drops, Outbox};
use crate::refusals::Refusals;

/// The surroundings.
pub(crate) struct Around<'a> {
    /// The time.
    pub(crate) now: Instant,
    /// Who waits.
    pub(crate) reactor: &'a Reactor,
    /// The way to the guest.
    pub(crate) outbox: &'a mut Outbox,
    /// Who knows the rules.
    pub(crate) keeper: &'a Gatekeeper,
    /// Who tells of refusals.
    pub(crate) refusals: &'a mut Refusals,
    /// What the next gateway is to know.
    pub(crate) kept: &'a mut FlowsFile,
    /// What was lost.
    pub(crate) drops: &'a mut Drops,
    /// What is left for others to do.
    pub(crate) wishes: &'a mut Wishes,
}

/// What connections want of others.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Questions to the resolver, each with the connection that it came by.
    pub(crate) questions: Vec<(Key, Vec<u8>)>,
    /// Connections whose questions need no answer any more.
    pub(crate) silenced: Vec<Key>,
    /// Connections to a port of the guest's that its own address refused.
    pub(crate) unheard: Vec<(u16, OwnedFd)>,
}
