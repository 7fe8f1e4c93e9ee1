//! Named things that are forgotten when nobody used them for a while, or when room is needed for another.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::gateway::slots::{Key, Slots};

/// The things, at most so many.
#[derive(Debug)]
pub(super) struct Table<N, T> {
    slots: Slots<Entry<N, T>>,
    keys: HashMap<N, Key>,
    /// Nothing's time is over before this.
    sweep: Option<Instant>,
}

#[derive(Debug)]
struct Entry<N, T> {
    name: N,
    used: Instant,
    idle: Duration,
    thing: T,
}

impl<N: Hash + Eq + Copy, T> Table<N, T> {
    pub(super) fn new(most: usize) -> Self {
        Self { slots: Slots::new(most), keys: HashMap::new(), sweep: None }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn find(&self, name: &N) -> Option<Key> {
        self.keys.get(name).copied()
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key).map(|entry| &entry.thing)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key).map(|entry| &mut entry.thing)
    }

    /// It was used: it stays for `idle`, if not used again.
    pub(super) fn touch(&mut self, now: Instant, key: Key, idle: Duration) {
        if let Some(entry) = self.slots.get_mut(key) {
            (entry.used, entry.idle) = (now, idle);
            self.sweep_by(now + idle);
        }
    }

    /// Puts a thing under a name that nothing has. What was not used for longest makes room, and comes back.
    pub(super) fn insert(&mut self, now: Instant, name: N, idle: Duration, thing: T) -> (Option<Key>, Option<T>) {
        let oldest = || self.slots.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key);
        let oldest = if self.slots.has_room() { None } else { oldest() };
        let pushed_out = oldest.and_then(|oldest| self.remove(oldest));
        let key = self.slots.insert(Entry { name, used: now, idle, thing });
        if let Some(key) = key {
            self.keys.insert(name, key);
            self.sweep_by(now + idle);
        }
        (key, pushed_out)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.slots.remove(key)?;
        self.keys.remove(&entry.name);
        Some(entry.thing)
    }

    /// Takes away those that do not stay.
    pub(super) fn take_unless(&mut self, mut stays: impl FnMut(&N, &T) -> bool) -> Vec<T> {
        let leaving: Vec<Key> =
            self.slots.iter().filter(|(_, entry)| !stays(&entry.name, &entry.thing)).map(|(key, _)| key).collect();
        leaving.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Takes away those whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<T> {
        if self.sweep.is_none_or(|sweep| now < sweep) {
            return Vec::new();
        }
        let over: Vec<Key> =
            self.slots.iter().filter(|(_, entry)| entry.used + entry.idle <= now).map(|(key, _)| key).collect();
        let over = over.into_iter().filter_map(|key| self.remove(key)).collect();
        self.sweep = self.slots.iter().map(|(_, entry)| entry.used + entry.idle).min();
        over
    }

    /// When to look again whether something's time is over.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.sweep
    }

    fn sweep_by(&mut self, at: Instant) {
        self.sweep = Some(self.sweep.map_or(at, |sweep| sweep.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let (start, mut table) = (Instant::now(), Table::new(8));
        let kept = table.insert(start, "kept", 10 * SECOND, 1).0.unwrap();
        table.insert(start, "left", 10 * SECOND, 2);
        assert_eq!(table.next_deadline(), Some(start + 10 * SECOND));
        table.touch(start + 5 * SECOND, kept, 10 * SECOND);
        assert_eq!(table.expire(start + 9 * SECOND), [] as [i32; 0]);
        assert_eq!(table.expire(start + 10 * SECOND), [2]);
        assert_eq!((table.find(&"left"), table.find(&"kept"), table.len()), (None, Some(kept), 1));
        assert_eq!(table.next_deadline(), Some(start + 15 * SECOND));
        assert_eq!(table.expire(start + 15 * SECOND), [1]);
        assert_eq!((table.next_deadline(), table.get(kept)), (None, None));
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let (start, mut table) = (Instant::now(), Table::new(2));
        let old = table.insert(start, "old", SECOND, 1).0.unwrap();
        table.insert(start + SECOND, "new", SECOND, 2);
        table.touch(start + 2 * SECOND, old, SECOND);
        let (key, pushed_out) = table.insert(start + 2 * SECOND, "newest", SECOND, 3);
        assert_eq!((table.len(), pushed_out, table.find(&"new")), (2, Some(2), None));
        assert_eq!((table.find(&"old"), table.find(&"newest")), (Some(old), key));
        assert_eq!(table.take_unless(|name, _| *name == "old"), [3]);
    }
}
