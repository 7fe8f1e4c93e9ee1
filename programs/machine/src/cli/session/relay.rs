//! Signals on their way to the command. With a terminal in raw mode the keys reach it as input, and a
//! signal is meant for us; without one, it is meant for the command.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use machine_sdk::AttachInput;
use tokio::signal::unix::{SignalKind, signal};

use super::signals::{Caught, Signals};
use super::terminal::size;

/// So many Ctrl-C within this time mean us, if the command does not end on them.
const IMPATIENCE: Duration = Duration::from_secs(2);
const INSISTENCE: usize = 3;

/// Passes signals on until one is meant for us; gives the exit code then.
pub(super) async fn relay(signals: &mut Signals, input: &AttachInput, with_terminal: bool) -> u8 {
    let mut impatience = Impatience::default();
    loop {
        let caught = signals.next().await;
        if with_terminal || (caught == Caught::Interrupt && impatience.spent(Instant::now())) {
            return caught.exit();
        }
        let input = input.clone();
        // Not waited for: the next Ctrl-C must be heard even if this one cannot be passed on.
        tokio::spawn(async move {
            let _ = input.signal(caught.number()).await;
        });
    }
}

/// Tells the command its window's new size, if it has a window.
pub(super) async fn follow_window(input: &AttachInput, with_terminal: bool) -> Infallible {
    if with_terminal && let Ok(mut changes) = signal(SignalKind::window_change()) {
        // It may have changed since it was first told.
        loop {
            if let Some((cols, rows)) = size() {
                let _ = input.resize(cols, rows).await;
            }
            if changes.recv().await.is_none() {
                break;
            }
        }
    }
    std::future::pending().await
}

/// Counts Ctrl-C.
#[derive(Debug, Default)]
struct Impatience {
    at: Vec<Instant>,
}

impl Impatience {
    /// Whether this one is one too many.
    fn spent(&mut self, now: Instant) -> bool {
        self.at.retain(|earlier| now.duration_since(*earlier) < IMPATIENCE);
        self.at.push(now);
        self.at.len() >= INSISTENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(millis: &[u64], spent: &[bool]) {
        let (start, mut impatience) = (Instant::now(), Impatience::default());
        let seen: Vec<bool> = millis.iter().map(|at| impatience.spent(start + Duration::from_millis(*at))).collect();
        assert_eq!(seen, spent);
    }

    #[test]
    fn three_in_two_seconds_mean_us() {
        check(&[0, 500, 1900], &[false, false, true]);
        check(&[0, 1500, 2100, 3000], &[false, false, false, true]);
        check(&[0, 3000, 6000], &[false, false, false]);
    }
}
