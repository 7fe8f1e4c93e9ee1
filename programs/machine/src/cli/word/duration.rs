//! Durations, as people write them and as they are shown.

use std::time::Duration;

/// Reads `30s`, `500ms`, `10m`, `2h`, `1h30m`, or a number of seconds; `0` is none.
pub(crate) fn read(text: &str) -> Result<Duration, String> {
    let refused = || format!("not a duration: '{text}' (say 30s, 10m, 2h, or a number of seconds)");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refused)?;
        let number: u64 = rest[..digits].parse().map_err(|_| refused())?;
        rest = &rest[digits..];
        let unit = &rest[..rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len())];
        rest = &rest[unit.len()..];
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(refused()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(refused)?;
    }
    if text.is_empty() { Err(refused()) } else { Ok(total) }
}

/// A duration for people: `340 ms`, `1.9 s`, `2 min 5 s`.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in
            [("30s", 30_000), ("500ms", 500), ("10m", 600_000), ("1h30m", 5_400_000), ("7", 7000), ("0", 0)]
        {
            assert_eq!(read(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "10x", "1h30", "99999999999999999999h", "9999999999999999999h"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_people_say_them() {
        for (millis, text) in
            [(0, "0 ms"), (340, "340 ms"), (1950, "1.9 s"), (125_000, "2 min 5 s"), (7_260_000, "2 h 1 min")]
        {
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
    }
}
