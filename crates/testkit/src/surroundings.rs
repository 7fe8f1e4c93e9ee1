//! Time that advances a second a look, chance that counts.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use machine_core::id::ID_ENTROPY;
use machine_engine::Surroundings;

/// Predictable time and chance. Start later lives with another seed, or their ids repeat.
pub struct Counting(AtomicU64);

impl Counting {
    /// Counts from `seed`.
    #[must_use]
    pub const fn from(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

impl Surroundings for Counting {
    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.next()).unwrap_or(i64::MAX);
        Timestamp::from_second(1_700_000_000 + seconds).expect("a few seconds after 2023 are representable")
    }

    fn entropy(&self) -> [u8; ID_ENTROPY] {
        let mut bytes = [7; ID_ENTROPY];
        for (byte, digit) in bytes.iter_mut().zip(format!("{:020}", self.next()).bytes()) {
            *byte = digit;
        }
        bytes
    }
}
