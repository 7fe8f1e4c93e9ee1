//! How busy guests are: from two looks at counters that only grow. The last look at each is kept, so that
//! whoever looks again and again gets the time between, and waits for nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use machine_core::machine::Generation;
use machine_core::promise::awakening::Vitals;
use machine_core::{Machine, MachineId};

/// Guests count in hundredths of a second: less than this says little.
const SHORTEST_MS: u64 = 90;
/// What was longer ago says nothing of now.
const LONGEST_MS: u64 = 60_000;
/// More machines than any host runs; then all is forgotten, and each next look waits a moment.
const MOST: usize = 4096;

/// The last look at each guest.
#[derive(Default)]
pub(crate) struct Looks(Mutex<BTreeMap<MachineId, (Generation, Vitals)>>);

impl Looks {
    /// How busy a guest was since the last look at it, if that was neither just now nor long ago; this look
    /// is then kept in its place.
    pub(crate) fn since_last(&self, machine: &Machine, now: &Vitals) -> Option<f64> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (launch, before) = kept.get_mut(&machine.id)?;
        if *launch != machine.generation {
            return None;
        }
        let percent = busy_percent(before, now)?;
        *before = now.clone();
        Some(percent)
    }

    /// Keeps a look.
    pub(crate) fn keep(&self, machine: &Machine, now: &Vitals) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(machine.id.clone(), (machine.generation, now.clone()));
    }
}

/// How busy the processors were between two looks, all together: 0 to 100. None where the looks are too
/// close or too far apart, or the counters went backwards.
pub(crate) fn busy_percent(before: &Vitals, after: &Vitals) -> Option<f64> {
    let busy = after.cpu_busy_ms.checked_sub(before.cpu_busy_ms)?;
    let idle = after.cpu_idle_ms.checked_sub(before.cpu_idle_ms)?;
    let all = busy.checked_add(idle)?;
    let each = all / u64::from(after.cpus.max(1));
    if !(SHORTEST_MS..=LONGEST_MS).contains(&each) {
        return None;
    }
    // At most a minute of 2^32 processors: a thousandth part of `all` fits.
    let per_mille = u128::from(busy) * 1000 / u128::from(all);
    u32::try_from(per_mille).ok().map(|per_mille| f64::from(per_mille) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals(busy: u64, idle: u64) -> Vitals {
        Vitals { cpu_busy_ms: busy, cpu_idle_ms: idle, cpus: 2, ..Vitals::default() }
    }

    fn check(before: (u64, u64), after: (u64, u64), percent: Option<f64>) {
        let told = busy_percent(&vitals(before.0, before.1), &vitals(after.0, after.1));
        assert_eq!(told, percent, "{before:?} {after:?}");
    }

    #[test]
    fn the_busy_part_of_the_time_between_counts() {
        check((0, 0), (0, 2000), Some(0.0));
        check((1000, 1000), (1500, 2500), Some(25.0));
        check((1000, 1000), (3000, 1000), Some(100.0));
        check((0, 0), (1, 999), Some(0.1));
    }

    #[test]
    fn looks_that_say_nothing_are_none() {
        check((0, 0), (0, 0), None);
        check((0, 0), (50, 100), None);
        check((0, 0), (100_000, 100_000), None);
        check((10, 0), (0, 5000), None);
        check((0, 0), (u64::MAX, 1), None);
        check((0, 0), (u64::MAX, 0), None);
    }
}
