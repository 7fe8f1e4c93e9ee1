//! Pulls the plug at the n-th await on a promise.
//!
//! ```text
//! Armed(n) ──n calls──▶ Tripped: that call never returns; the test ends the runtime there
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Whether the crash comes before or after the promise had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The call had no effect yet.
    Before,
    /// The effect is there, the answer is lost.
    After,
}

/// Counts calls and stops the world at one of them.
#[derive(Clone)]
pub struct Tripwire {
    calls: Arc<AtomicU64>,
    at: u64,
    moment: Moment,
    tripped: Arc<Notify>,
}

impl Tripwire {
    /// Trips at call number `at`, counted from 1.
    #[must_use]
    pub fn at(at: u64, moment: Moment) -> Self {
        Self { calls: Arc::default(), at, moment, tripped: Arc::default() }
    }

    /// Never trips.
    #[must_use]
    pub fn never() -> Self {
        Self::at(u64::MAX, Moment::Before)
    }

    /// Returns when it has tripped.
    pub async fn tripped(&self) {
        self.tripped.notified().await;
    }

    /// How many calls were counted.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Runs a call's effect, or stops for ever before or after it.
    pub async fn through<T>(&self, effect: impl FnOnce() -> T) -> T {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.at && self.moment == Moment::Before {
            self.stop_here().await;
        }
        let result = effect();
        if number == self.at {
            self.stop_here().await;
        }
        result
    }

    async fn stop_here(&self) {
        self.tripped.notify_one();
        std::future::pending::<()>().await;
    }
}
