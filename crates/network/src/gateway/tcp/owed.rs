//! Acknowledgments that the guest is owed, and how long they may wait. Each costs it an interrupt, and one that
//! comes at once lets it send a small rest that would have gone with what follows; so several segments are
//! acknowledged together, as long as nobody can be waiting for it.

use std::time::{Duration, Instant};

/// How long. A guest gives its own as much time and more (Linux: 40 ms).
pub(super) const PATIENCE: Duration = Duration::from_millis(4);
/// How many segments, of the largest that the guest sends.
const SEGMENTS: usize = 4;

/// What came and was not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Owed {
    bytes: usize,
    since: Option<Instant>,
    largest: usize,
}

impl Owed {
    /// So many bytes came, in order.
    pub(super) fn came(&mut self, now: Instant, bytes: usize) {
        if bytes > 0 {
            self.bytes += bytes;
            self.largest = self.largest.max(bytes);
            self.since.get_or_insert(now);
        }
    }

    /// All of it was acknowledged.
    pub(super) fn told(&mut self) {
        (self.bytes, self.since) = (0, None);
    }

    /// Until when it may wait, if it may. `room` is how much the guest may send at most.
    pub(super) fn may_wait(&self, now: Instant, room: usize) -> Option<Instant> {
        let until = self.since? + PATIENCE;
        (now < until && self.bytes < (SEGMENTS * self.largest).min(room / 4)).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 20;

    #[test]
    fn what_is_owed_waits_for_more_of_it_or_for_a_while() {
        let (mut owed, now) = (Owed::default(), Instant::now());
        assert_eq!(owed.may_wait(now, ROOM), None);
        for _ in 0..3 {
            owed.came(now, 1000);
            assert_eq!(owed.may_wait(now, ROOM), Some(now + PATIENCE));
        }
        assert_eq!(owed.may_wait(now + PATIENCE, ROOM), None);
        owed.came(now, 1000);
        assert_eq!(owed.may_wait(now, ROOM), None);
        owed.told();
        owed.came(now, 1);
        assert_eq!(owed.may_wait(now, ROOM), Some(now + PATIENCE));
    }

    #[test]
    fn a_guest_that_has_little_room_is_told_early() {
        let (mut owed, now) = (Owed::default(), Instant::now());
        owed.came(now, 5000);
        assert_eq!(owed.may_wait(now, 16_384), None);
    }
}
