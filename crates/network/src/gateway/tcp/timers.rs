//! When which connection is to be looked at again. Each stands here once at most; a later time than that which
//! stands is not noted: when the earlier one comes, the connection says what it really waits for.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::gateway::slots::Key;

/// Times, in order.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Key)>);

/// What stands of one connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted(Option<Instant>);

impl Timers {
    /// The connection is to be looked at by then.
    pub(super) fn note(&mut self, key: Key, noted: &mut Noted, at: Instant) {
        match noted.0 {
            Some(earlier) if earlier <= at => return,
            Some(later) => {
                self.0.remove(&(later, key));
            }
            None => {}
        }
        self.0.insert((at, key));
        noted.0 = Some(at);
    }

    /// Nothing is to be looked at any more.
    pub(super) fn forget(&mut self, key: Key, noted: &mut Noted) {
        if let Some(at) = noted.0.take() {
            self.0.remove(&(at, key));
        }
    }

    /// One whose time has come; it stands here no more, which its `Noted` is to be told.
    pub(super) fn come(&mut self, now: Instant) -> Option<Key> {
        let first = self.0.first().filter(|(at, _)| *at <= now)?;
        let (at, key) = *first;
        self.0.remove(&(at, key));
        Some(key)
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }
}

impl Noted {
    /// Its time came.
    pub(super) fn came(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_counts_and_comes_once() {
        let (mut timers, mut noted) = (Timers::default(), Noted::default());
        let key = Key { index: 1, generation: 0 };
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        timers.note(key, &mut noted, later);
        timers.note(key, &mut noted, now);
        timers.note(key, &mut noted, later);
        assert_eq!(timers.next(), Some(now));
        assert_eq!(timers.come(now), Some(key));
        noted.came();
        assert_eq!(timers.come(later), None);
        timers.note(key, &mut noted, later);
        timers.forget(key, &mut noted);
        assert_eq!(timers.next(), None);
    }
}
