//! How many questions a machine may ask, and how many of those that look as if they carried something else.

use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use machine_core::policy::egress::DomainName;

/// Of all kinds.
const ALL: Rate = Rate { per_second: 200, at_once: 1000 };
/// Of the kinds that tunnels use.
const TUNNEL_LIKE: Rate = Rate { per_second: 10, at_once: 50 };
/// A label longer than this is seldom one that somebody chose, and a name longer than this not often.
const LONG_LABEL: usize = 40;
const LONG_NAME: usize = 100;
/// In a name that was chosen, letters repeat: random base32 has 5 bits a letter, words have less than 4.
const MUCH: f64 = 4.0;

/// A rate, with what may come at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    at_once: u32,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// In billionths of a question.
    held: u64,
    filled: Instant,
}

/// What a machine may still ask.
#[derive(Debug)]
pub(super) struct Limits {
    all: Bucket,
    tunnel_like: Bucket,
}

/// One question, in what a bucket counts.
const ONE: u64 = 1_000_000_000;

impl Bucket {
    fn new(now: Instant, rate: Rate) -> Self {
        Self { rate, held: u64::from(rate.at_once) * ONE, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled).min(Duration::from_mins(1));
        let more = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_mul(self.rate.per_second.into());
        self.held = self.held.saturating_add(more).min(u64::from(self.rate.at_once) * ONE);
        self.filled = self.filled.max(now);
        let enough = self.held >= ONE;
        if enough {
            self.held -= ONE;
        }
        enough
    }
}

impl Limits {
    pub(super) fn new(now: Instant) -> Self {
        Self { all: Bucket::new(now, ALL), tunnel_like: Bucket::new(now, TUNNEL_LIKE) }
    }

    /// The limit that a question is over, if it is.
    pub(super) fn over(&mut self, now: Instant, name: Option<&DomainName>, kind: RecordType) -> Option<&'static str> {
        if !self.all.take(now) {
            return Some("resolver: more than 200 questions a second");
        }
        let tunnel_like = carries(kind) || name.is_none_or(|name| is_stuffed(name.as_str()));
        (tunnel_like && !self.tunnel_like.take(now))
            .then_some("resolver: more than 10 questions a second of kinds that tunnels use")
    }
}

/// Whether answers of this type hold whatever somebody puts there.
fn carries(kind: RecordType) -> bool {
    matches!(kind, RecordType::TXT | RecordType::NULL | RecordType::Unknown(_))
}

fn is_stuffed(name: &str) -> bool {
    name.split('.').any(|label| label.len() > LONG_LABEL) || (name.len() > LONG_NAME && entropy(name) > MUCH)
}

/// In bits a letter.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let all = f64::from(counts.iter().sum::<u32>());
    let share = |&count: &u32| f64::from(count) / all;
    counts.iter().filter(|&&count| count > 0).map(share).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limits: &mut Limits, now: Instant, name: &str, kind: RecordType) -> usize {
        let name = name.parse().unwrap();
        (0..2000).filter(|_| limits.over(now, Some(&name), kind).is_none()).count()
    }

    #[test]
    fn a_machine_asks_a_thousand_at_once_and_two_hundred_a_second() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        assert_eq!(allowed(&mut limits, now, "example.com", RecordType::A), 1000);
        assert_eq!(allowed(&mut limits, now + Duration::from_secs(1), "example.com", RecordType::A), 200);
        assert_eq!(allowed(&mut limits, now + Duration::from_millis(1005), "example.com", RecordType::A), 1);
        assert_eq!(allowed(&mut limits, now + Duration::from_hours(9), "example.com", RecordType::A), 1000);
    }

    #[test]
    fn what_tunnels_use_is_asked_ten_times_a_second() {
        let label = "a".repeat(41);
        let mixed: String = ('a'..='z').chain('0'..='9').collect();
        let long = format!("{mixed}.{mixed}.{mixed}.example.com");
        for (name, kind) in [
            ("example.com", RecordType::TXT),
            ("example.com", RecordType::NULL),
            ("example.com", RecordType::Unknown(65_280)),
            (&format!("{label}.example.com"), RecordType::A),
            (&long, RecordType::AAAA),
        ] {
            let now = Instant::now();
            let mut limits = Limits::new(now);
            assert_eq!(allowed(&mut limits, now, name, kind), 50, "{name}");
            assert_eq!(allowed(&mut limits, now + Duration::from_secs(10), name, kind), 50, "{name}");
        }
    }

    #[test]
    fn long_names_that_somebody_chose_are_not_taken_for_tunnels() {
        for name in [
            "ec2-203-0-113-25.ap-southeast-2.compute.amazonaws.com",
            "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
            "r3---sn-4g5ednsz.googlevideo.com",
        ] {
            assert!(!is_stuffed(name), "{name}");
        }
    }
}
