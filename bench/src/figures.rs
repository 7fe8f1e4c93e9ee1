//! Samples and what is told of them: count, least, median, p95.

use serde::Serialize;

/// Numbers in one unit; times in milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

/// What is told of samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) count: usize,
    pub(crate) least: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
}

impl Samples {
    pub(crate) fn add(&mut self, took: std::time::Duration) {
        self.0.push(took.as_secs_f64() * 1000.0);
    }

    /// Adds a number in whatever unit the samples have.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The newest sample, as a time; of none, nothing.
    pub(crate) fn last(&self) -> std::time::Duration {
        self.0.last().map_or(std::time::Duration::ZERO, |ms| std::time::Duration::from_secs_f64(ms / 1000.0))
    }

    /// The figures; of no samples, not-a-number.
    pub(crate) fn figures(&self) -> Figures {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: usize| {
            let last = sorted.len().saturating_sub(1);
            sorted.get((last * share).div_ceil(100)).copied().unwrap_or(f64::NAN)
        };
        Figures { count: sorted.len(), least: at(0), p50: at(50), p95: at(95) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_median_and_the_95th_are_samples() {
        let mut samples = Samples::default();
        (1..=100).for_each(|ms| samples.add(Duration::from_millis(ms)));
        let figures = samples.figures();
        assert_eq!((figures.count, figures.least), (100, 1.0));
        assert!((figures.p50 - 51.0).abs() < 1.1 && (figures.p95 - 95.0).abs() < 1.1, "{figures:?}");
    }
}
