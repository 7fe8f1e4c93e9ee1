//! The rate of this computer's time stamp counter, which is also the guest's under TCG.
//! Measured, and taken from the processor's own word where that agrees.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::sys;

/// Thousands of cycles per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KiloHertz(pub u64);

/// Twenty milliseconds against a clock read within some tens of nanoseconds: a few millionths.
const SPAN: Duration = Duration::from_millis(20);

/// Reads of clock and counter, of which the least disturbed one counts.
const READS: u32 = 16;

/// A measurement this close to a whole megahertz means that megahertz: makers round, and one and the same
/// computer must come out the same each time, since saved machines are kept for one rate.
const WHOLE_MEGAHERTZ_WITHIN: u64 = 50_000;

/// The rate, where the counter runs at one constant rate at all times. Takes 20 ms or so: it spins.
#[must_use]
pub fn rate() -> Option<KiloHertz> {
    let flags = fs::read_to_string("/proc/cpuinfo").ok()?;
    if !is_constant(&flags) {
        return None;
    }
    let measured = measure()?;
    Some(settle(measured, stated()))
}

fn is_constant(cpuinfo: &str) -> bool {
    let has = |wanted: &str| {
        cpuinfo
            .lines()
            .find(|line| line.starts_with("flags"))
            .is_some_and(|line| line.split_ascii_whitespace().any(|flag| flag == wanted))
    };
    has("constant_tsc") && has("nonstop_tsc")
}

/// The processor's word, if it is a thousandth or less from what was measured; else the measurement.
fn settle(measured: KiloHertz, stated: Option<KiloHertz>) -> KiloHertz {
    if let Some(stated) = stated
        && stated.0.abs_diff(measured.0) <= measured.0 / 1000
    {
        return stated;
    }
    let whole = (measured.0 + 500) / 1000 * 1000;
    if whole.abs_diff(measured.0) * 1_000_000_000 <= measured.0 * WHOLE_MEGAHERTZ_WITHIN {
        return KiloHertz(whole);
    }
    measured
}

/// CPUID leaf 0x15: counter = crystal x numerator / denominator.
fn stated() -> Option<KiloHertz> {
    let [highest, ..] = sys::cpuid(0);
    if highest < 0x15 {
        return None;
    }
    let [denominator, numerator, crystal, _] = sys::cpuid(0x15);
    let hertz = u64::from(crystal) * u64::from(numerator) / u64::from(denominator).max(1);
    (denominator > 0 && hertz > 0).then_some(KiloHertz(hertz / 1000))
}

/// Clock and counter, read at one moment.
struct Reading {
    clock: Duration,
    cycles: u64,
}

fn measure() -> Option<KiloHertz> {
    let origin = Instant::now();
    let start = read(origin);
    while origin.elapsed() < SPAN {
        std::hint::spin_loop();
    }
    let end = read(origin);
    let nanoseconds = end.clock.checked_sub(start.clock)?.as_nanos();
    let cycles = u128::from(end.cycles.checked_sub(start.cycles)?);
    let rate = (cycles * 1_000_000 + nanoseconds / 2).checked_div(nanoseconds)?;
    u64::try_from(rate).ok().map(KiloHertz)
}

fn read(origin: Instant) -> Reading {
    let once = |_| {
        let before = origin.elapsed();
        let cycles = sys::time_stamp_counter();
        let width = origin.elapsed() - before;
        (width, Reading { clock: before + width / 2, cycles })
    };
    let (_, best) = (0..READS).map(once).min_by_key(|(width, _)| *width).expect("READS is not zero");
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_own_word_counts_if_it_agrees() {
        assert_eq!(settle(KiloHertz(2_599_998), Some(KiloHertz(2_600_100))), KiloHertz(2_600_100));
        assert_eq!(settle(KiloHertz(2_599_998), Some(KiloHertz(2_400_000))), KiloHertz(2_600_000));
    }

    #[test]
    fn a_measurement_near_a_whole_megahertz_is_that_megahertz() {
        assert_eq!(settle(KiloHertz(2_100_007), None), KiloHertz(2_100_000));
        assert_eq!(settle(KiloHertz(2_095_412), None), KiloHertz(2_095_412));
    }

    #[test]
    fn a_counter_that_stops_has_no_rate() {
        assert!(is_constant("flags\t\t: fpu constant_tsc nonstop_tsc sse\n"));
        assert!(!is_constant("flags\t\t: fpu constant_tsc sse\n"));
        assert!(!is_constant(""));
    }

    #[test]
    fn two_measurements_on_one_computer_agree() {
        if let (Some(first), Some(second)) = (rate(), rate()) {
            assert!(first.0.abs_diff(second.0) * 1000 < first.0, "{first:?} {second:?}");
        }
    }
}
