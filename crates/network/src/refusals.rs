//! What was refused, one JSON object a line, so seldom that neither a guest that knocks all day nor its log can
//! fill anything: the same refusal is told once in ten seconds, with how many there were, and twenty lines a
//! second are told in all. The lines that were held back are counted in the next.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use machine_core::policy::egress::{DomainName, Protocol};
use serde::Serialize;

/// The same refusal is told once in this time.
const ONCE_IN: Duration = Duration::from_secs(10);
/// Lines in a second at most.
const LINES: u32 = 20;
/// Refusals that are remembered at most.
const MOST: usize = 1024;
/// A rule is cut after this many bytes, on the way out.
const LONGEST_RULE: usize = 600;

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    /// The rule that decided.
    pub(crate) rule: String,
    /// What was refused.
    pub(crate) what: Refused,
    /// Where to, if an address was wanted.
    pub(crate) address: Option<IpAddr>,
    /// Its port.
    pub(crate) port: Option<u16>,
    /// The name that was asked for, or said.
    pub(crate) name: Option<DomainName>,
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refused {
    /// A TCP connection.
    Tcp,
    /// Datagrams.
    Udp,
    /// An ICMP echo.
    Icmp,
    /// A question to the resolver, or a part of the answer.
    Dns,
}

/// Tells refusals.
pub(crate) struct Refusals {
    to: Box<dyn Write>,
    clock: fn() -> Timestamp,
    told: HashMap<Refusal, Told>,
    /// Refusals that no entry of `told` counts.
    others: u64,
    second: Instant,
    lines: u32,
}

#[derive(Debug)]
struct Told {
    /// When a line was last written; never, if all lines of that second were used up.
    at: Option<Instant>,
    since: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    rule: &'a str,
    protocol: Refused,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    count: u64,
    /// Refusals of other kinds that were not told one by one.
    #[serde(skip_serializing_if = "is_zero")]
    others: u64,
}

impl From<Protocol> for Refused {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Icmp => Self::Icmp,
        }
    }
}

impl Refusals {
    /// Writes each line whole, in one call. A line that cannot be written is lost, not waited for: `to` must not
    /// block.
    pub(crate) fn new(now: Instant, to: Box<dyn Write>, clock: fn() -> Timestamp) -> Self {
        Self { to, clock, told: HashMap::new(), others: 0, second: now, lines: 0 }
    }

    /// Tells a refusal, or counts it.
    pub(crate) fn tell(&mut self, now: Instant, refusal: Refusal) {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.lines = 0;
            self.tell_what_was_held_back(now, &refusal);
        }
        let (at, since) = self.told.get(&refusal).map_or((None, 1), |told| (told.at, told.since + 1));
        let told = is_over(now, at) && self.lines < LINES && self.write(&refusal, since);
        self.remember(refusal, if told { Told { at: Some(now), since: 0 } } else { Told { at, since } });
    }

    /// Tells what was only counted and may be told by now; forgets what was not refused again.
    fn tell_what_was_held_back(&mut self, now: Instant, but: &Refusal) {
        let over =
            |(refusal, told): (&Refusal, &Told)| (is_over(now, told.at) && refusal != but).then(|| refusal.clone());
        let due: Vec<Refusal> = self.told.iter().filter_map(over).collect();
        for refusal in due {
            let since = self.told.get(&refusal).map_or(0, |told| told.since);
            if since == 0 {
                self.told.remove(&refusal);
            } else if self.lines < LINES / 2 && self.write(&refusal, since) {
                self.told.insert(refusal, Told { at: Some(now), since: 0 });
            }
        }
    }

    fn remember(&mut self, refusal: Refusal, told: Told) {
        if self.told.len() >= MOST && !self.told.contains_key(&refusal) {
            self.others += told.since;
        } else {
            self.told.insert(refusal, told);
        }
    }

    fn write(&mut self, refusal: &Refusal, count: u64) -> bool {
        let Refusal { rule, what, address, port, name } = refusal;
        let line = Line {
            at: (self.clock)(),
            rule: rule.get(..LONGEST_RULE).unwrap_or(rule),
            protocol: *what,
            address: *address,
            port: *port,
            name: name.as_ref().map(DomainName::as_str),
            count,
            others: self.others,
        };
        let Ok(mut bytes) = serde_json::to_vec(&line) else { return false };
        bytes.push(b'\n');
        let whole = self.to.write(&bytes).is_ok_and(|written| written == bytes.len());
        if whole {
            self.others = 0;
            self.lines += 1;
            // What buffers is told to write; what cannot loses a line.
            let _ = self.to.flush();
        }
        whole
    }
}

fn is_over(now: Instant, told: Option<Instant>) -> bool {
    told.is_none_or(|at| now.saturating_duration_since(at) >= ONCE_IN)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
#[path = "refusals_tests.rs"]
mod tests;
