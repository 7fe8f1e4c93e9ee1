//! The processes beside a VMM: started, started again when they end, ended with it. Driven by `watch`, whose
//! loop waits for all of them at once.
//!
//! ```text
//! Due ──its time comes──▶ Alive ──ends──▶ Due: at once the first time, then ever later
//!  ▲ └──cannot start──┐
//!  └──────────────────┘
//! ```

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::stream::Stream;
use crate::bounded_log::{BoundedLog, of_companion};
use crate::launch_plan::{Companion, Holds, LaunchPlan};
use crate::process::this_program;
use crate::sys;

/// Memory runs out: after its VMM, which is larger, and before the supervisor.
const OOM_SCORE: i32 = 300;

/// How long the second start in a row is put off; each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Who waits in the guest for an answer that a dead companion owes has it within five seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// One that lived so long is not failing.
const GOOD_LIFE: Duration = Duration::from_secs(30);

/// All companions of a VMM.
pub(super) struct Companions {
    wire: Option<OwnedFd>,
    each: Vec<Minded>,
}

struct Minded {
    companion: Companion,
    /// Both its streams, in all its lives.
    said: Stream,
    into: io::PipeWriter,
    strongbox: Option<Strongbox>,
    patience: Patience,
    life: Life,
}

/// What a companion leaves to its next life; see `Holds::Strongbox`.
struct Strongbox {
    put: OwnedFd,
    look: OwnedFd,
}

enum Life {
    Due(Instant),
    Alive { child: Child, process: OwnedFd, since: Instant },
}

/// How long to wait before the next start.
#[derive(Debug, Default)]
struct Patience {
    failed_in_a_row: u32,
}

/// What is to be heard of one companion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    pub(super) ended: bool,
    pub(super) said: bool,
}

impl Companions {
    /// Those of a plan, none of them started. `wire` is their end of it.
    pub(super) fn of(plan: &LaunchPlan, wire: Option<OwnedFd>) -> io::Result<Self> {
        // Where nobody holds it the VMM sees that nobody is there.
        let wire = wire.filter(|_| plan.companions.iter().any(|companion| companion.holds == Holds::Wire));
        let each = plan.companions.iter().map(|companion| Minded::new(companion, plan.run.path()));
        Ok(Self { wire, each: each.collect::<io::Result<_>>()? })
    }

    /// Starts those whose time has come.
    pub(super) fn start_due(&mut self) {
        for minded in &mut self.each {
            minded.start_if_due(self.wire.as_ref());
        }
    }

    /// When the next one is to be started.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.each.iter().filter_map(|minded| minded.life.due()).min()
    }

    /// What to wait for: two places for each. A process that is not there is waited for by a second look at
    /// what it says, so that the places stay.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.each.iter().flat_map(|minded| {
            let said = minded.said.source().unwrap_or_else(|| minded.into.as_fd());
            [minded.life.process().unwrap_or(said), said]
        })
    }

    /// Takes note of what was waited for; one for each.
    pub(super) fn hear(&mut self, news: impl Iterator<Item = News>) {
        for (minded, News { ended, said }) in self.each.iter_mut().zip(news) {
            if said {
                minded.said.take();
            }
            if ended {
                minded.bury();
            }
        }
    }

    /// Ends all of them.
    pub(super) fn end(mut self) {
        for minded in &mut self.each {
            if let Life::Alive { child, .. } = &mut minded.life {
                // One that has ended by itself is as good.
                let _ = child.kill();
                let _ = child.wait();
            }
            minded.said.drain();
        }
    }
}

impl Minded {
    fn new(companion: &Companion, folder: &Path) -> io::Result<Self> {
        let (out, into): (PipeReader, _) = io::pipe()?;
        let said = Stream::new(Some(out), BoundedLog::create(of_companion(&companion.name), folder)?);
        let strongbox = match companion.holds {
            Holds::Strongbox => Some(Strongbox::new()?),
            Holds::Wire | Holds::Nothing => None,
        };
        let (patience, life) = (Patience::default(), Life::Due(Instant::now()));
        Ok(Self { companion: companion.clone(), said, into, strongbox, patience, life })
    }

    fn start_if_due(&mut self, wire: Option<&OwnedFd>) {
        let now = Instant::now();
        if self.life.due().is_none_or(|due| due > now) {
            return;
        }
        self.life = match self.start(wire) {
            Ok((child, process)) => Life::Alive { child, process, since: now },
            Err(error) => {
                self.tell("cannot_start", &error.to_string());
                Life::Due(now + self.patience.after(Duration::ZERO))
            }
        };
    }

    fn start(&self, wire: Option<&OwnedFd>) -> io::Result<(Child, OwnedFd)> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(this_program());
        command.arg0("machine").args(&self.companion.arguments).env_clear();
        command.stdin(Stdio::null()).stdout(self.into.try_clone()?).stderr(self.into.try_clone()?);
        sys::tie_to_us(&mut command);
        if let (Some(wire), Holds::Wire) = (wire, self.companion.holds) {
            sys::hand_down(&mut command, wire.try_clone()?);
        }
        if let Some(Strongbox { put, look }) = &self.strongbox {
            command.stdin(look.try_clone()?);
            sys::hand_down(&mut command, put.try_clone()?);
        }
        sys::score_for_oom(&mut command, OOM_SCORE);
        let mut child = command.spawn()?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(process) => Ok((child, process)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    /// It has ended: takes note of how, and when it is to be started again.
    fn bury(&mut self) {
        let Life::Alive { child, since, .. } = &mut self.life else { return };
        let how = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let lived = since.elapsed();
        self.said.drain();
        self.tell("ended", &how);
        self.life = Life::Due(Instant::now() + self.patience.after(lived));
    }

    /// One line of JSON among its own.
    fn tell(&mut self, what: &str, how: &str) {
        let at = jiff::Timestamp::now();
        let line = serde_json::json!({ "at": at, "companion": self.companion.name, what: how });
        self.said.note(format!("{line}\n").as_bytes());
    }
}

impl Strongbox {
    fn new() -> io::Result<Self> {
        let (put, look) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok(Self { put, look })
    }
}

impl Life {
    fn due(&self) -> Option<Instant> {
        match self {
            Self::Due(at) => Some(*at),
            Self::Alive { .. } => None,
        }
    }

    fn process(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Due(_) => None,
            Self::Alive { process, .. } => Some(process.as_fd()),
        }
    }
}

impl Patience {
    /// The pause after a life of this length.
    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= GOOD_LIFE {
            self.failed_in_a_row = 0;
        }
        let before = self.failed_in_a_row;
        self.failed_in_a_row = before.saturating_add(1);
        match before.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_costs_nothing_and_each_further_one_twice_as_much() {
        let mut patience = Patience::default();
        let pauses = [0; 9].map(|_| patience.after(Duration::ZERO).as_millis());
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3000, 3000, 3000]);
        assert_eq!(patience.after(Duration::from_secs(29)), LONGEST_PAUSE);
        assert_eq!(patience.after(GOOD_LIFE), Duration::ZERO);
        assert_eq!(patience.after(Duration::ZERO), FIRST_PAUSE);
    }
}
