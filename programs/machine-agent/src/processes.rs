//! What /proc says of other processes. Looks, and touches nothing.

use rustix::process::Pid;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// It ended and waits for its parent to notice.
    pub(crate) zombie: bool,
}

/// Every process, the kernel's own too.
pub(crate) fn all() -> Vec<Seen> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            parse(pid, &stat)
        })
        .collect()
}

/// Processes of people: neither we nor the kernel's own (children of 2).
pub(crate) fn foreign() -> impl Iterator<Item = Seen> {
    all().into_iter().filter(|seen| seen.pid > 2 && seen.parent != 2 && !seen.zombie)
}

/// Processes of the session that `leader` began, alive.
pub(crate) fn of_session(leader: Pid) -> impl Iterator<Item = Pid> {
    let session = leader.as_raw_nonzero().get();
    all()
        .into_iter()
        .filter(move |seen| seen.session == session && !seen.zombie)
        .filter_map(|seen| Pid::from_raw(seen.pid))
}

fn parse(pid: i32, stat: &str) -> Option<Seen> {
    // The name in parentheses may hold anything, spaces and parentheses too.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let zombie = fields.next()? == "Z";
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Seen { pid, parent, session, zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let seen = parse(7, "7 (a) S 9) Z 3 5 6 0 -1").unwrap();
        assert_eq!(seen, Seen { pid: 7, parent: 3, session: 6, zombie: true });
    }
}
