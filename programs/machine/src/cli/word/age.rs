//! How long ago something was, in one unit: `5s`, `3m`, `2h`, `4d`.

use jiff::Timestamp;

/// The time from `then` to `now`; nothing is in the future.
pub(crate) fn show(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let then = Timestamp::from_second(1_000_000).unwrap();
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (7300, "2h"), (200_000, "2d"), (-5, "0s")] {
            assert_eq!(show(then, Timestamp::from_second(1_000_000 + seconds).unwrap()), text);
        }
    }
}
