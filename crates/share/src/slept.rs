//! That the machine slept, from its waking until somebody is told what the host did meanwhile: `watch` finds that out.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lost files remembered at most: where there are more, not one by one is told of.
const MOST: usize = 16_384;

/// Seconds and nanoseconds.
pub(crate) type Moment = (i64, u32);

/// One sleep.
#[derive(Debug, Default)]
pub(crate) struct Sleep {
    /// What changed since then the host changed; or the machine, in the last moment of its day.
    pub(crate) since: Moment,
    /// Where files were that are gone, or others now.
    pub(crate) lost: Vec<Vec<u8>>,
}

/// The last one, if nobody was told yet.
#[derive(Debug, Default)]
pub(crate) struct Slept(Mutex<Option<Sleep>>);

impl Sleep {
    pub(crate) fn lose(&mut self, place: Vec<u8>) {
        if self.lost.len() < MOST {
            self.lost.push(place);
        }
    }
}

impl Slept {
    pub(crate) fn woke(&self, sleep: Sleep) {
        *self.0.lock().expect("nothing panics while it holds a sleep") = Some(sleep);
    }

    pub(crate) fn take(&self) -> Option<Sleep> {
        self.0.lock().expect("nothing panics while it holds a sleep").take()
    }
}

/// When a machine falls asleep now. Files bear the time of the host's last tick, of which there are 100 a second.
pub(crate) fn since() -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = now.saturating_sub(Duration::from_millis(10));
    (since.as_secs().cast_signed(), since.subsec_nanos())
}
