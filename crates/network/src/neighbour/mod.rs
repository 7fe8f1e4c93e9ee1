//! What the gateway itself answers to its neighbour, the guest: who has an address, what address it has, that
//! there is a router, and that it is there. Knows nothing of what is behind.

use std::time::Instant;

use crate::packet::{Dropped, Guest, Ipv6, Local, Outbox};

/// Who answers.
#[derive(Debug)]
pub(crate) struct Neighbours {
    guest: Guest,
    name: String,
    advertise: Option<Instant>,
}

impl Neighbours {
    /// For this guest, which is told this name for itself if it asks.
    pub(crate) fn new(guest: Guest, name: String) -> Self {
        Self { guest, name, advertise: None }
    }

    /// The guest is there, again or for the first time: it hears of its router.
    pub(crate) fn attached(&mut self, now: Instant, outbox: &mut Outbox) -> Result<(), Dropped> {
        let _ = (&self.guest, &self.name, now, outbox);
        Ok(())
    }

    /// There is IPv6 from now on, or no longer.
    pub(crate) fn set_ipv6(&mut self, now: Instant, ipv6: Ipv6, outbox: &mut Outbox) -> Result<(), Dropped> {
        let _ = (now, outbox);
        self.guest.ipv6 = ipv6;
        Ok(())
    }

    /// Answers, if it is to be answered.
    pub(crate) fn answer(&mut self, now: Instant, asked: &Local<'_>, outbox: &mut Outbox) -> Result<(), Dropped> {
        let _ = (now, asked, outbox);
        Err(Dropped::Unanswered)
    }

    /// Says what is to be said by now without being asked.
    pub(crate) fn tick(&mut self, now: Instant, outbox: &mut Outbox) -> Result<(), Dropped> {
        let _ = (now, outbox);
        Ok(())
    }

    /// When there is something to be said without being asked.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.advertise
    }
}
