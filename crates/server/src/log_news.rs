//! What is new in a log that is kept within a bound: its beginning may be gone since we looked. Pure.

/// How much of what was seen is looked for in a log that was cut.
const MARK: usize = 1 << 10;

/// Where in `now` begins what was not in `before`.
pub(crate) fn news(before: &[u8], now: &[u8]) -> usize {
    if now.starts_with(before) {
        return before.len();
    }
    let mark = &before[before.len().saturating_sub(MARK)..];
    let found = now.windows(mark.len().max(1)).rposition(|window| window == mark);
    // Not found: it began anew, or all that we saw is gone.
    found.map_or(0, |start| start + mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, now: &str, told: &str) {
        assert_eq!(&now[news(before.as_bytes(), now.as_bytes())..], told, "{before} -> {now}");
    }

    #[test]
    fn only_what_is_new_is_told() {
        check("", "", "");
        check("", "abc", "abc");
        check("abc", "abc", "");
        check("abc", "abcdef", "def");
    }

    #[test]
    fn a_log_that_was_cut_or_began_anew_loses_nothing() {
        let long = "x".repeat(5000) + &"0123456789".repeat(200);
        check(&long, &(long[3000..].to_owned() + "new"), "new");
        check("first boot", "second boot", "second boot");
        check("first boot", "", "");
    }
}
