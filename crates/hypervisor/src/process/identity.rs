//! Which process: a number alone may name another one by now, a number with its start time does not.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::sys;

/// A process of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since the host's.
    pub started: u64,
}

impl Identity {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, started: Stat::read(pid)?.started })
    }
}

/// A process held by a descriptor: signals and waiting can only ever concern this one.
#[derive(Debug)]
pub(crate) struct Held {
    descriptor: OwnedFd,
}

impl Held {
    /// `None` if that process is gone, whoever has its number now.
    pub(crate) fn open(identity: Identity) -> io::Result<Option<Self>> {
        let Some(pid) = Some(identity.pid).filter(|&pid| pid > 0).and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The descriptor holds one process for good; if its start time fits now, it is the right one.
        match Stat::read(identity.pid) {
            Ok(stat) if stat.started == identity.started && stat.life == Life::Alive => Ok(Some(Self { descriptor })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal; to a process that is gone, none.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn gone(&self) -> io::Result<()> {
        // A copy, since one descriptor can be waited for only once at a time.
        let descriptor = sys::watched(self.descriptor.try_clone()?)?;
        descriptor.readable().await?.retain_ready();
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Life {
    Alive,
    Ended,
}

/// What the kernel says of a process.
pub(super) struct Stat {
    life: Life,
    /// When it started, in clock ticks since the host's.
    pub(super) started: u64,
    /// Processor time in clock ticks, its own and the kernel's for it.
    pub(super) processor_ticks: u64,
}

impl Stat {
    pub(super) fn read(pid: i32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&String::from_utf8_lossy(&text)).ok_or_else(|| io::Error::other("/proc/PID/stat makes no sense"))
    }

    /// The second field is the program's name in parentheses, which may contain anything.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(") ")?;
        let mut fields = fields.split_ascii_whitespace();
        let life = match fields.next()? {
            "Z" | "X" | "x" => Life::Ended,
            _ => Life::Alive,
        };
        // The state is field 3; the processor times are fields 14 and 15, the start time is field 22.
        let (user, system): (u64, u64) = (fields.nth(10)?.parse().ok()?, fields.next()?.parse().ok()?);
        let started = fields.nth(6)?.parse().ok()?;
        Some(Self { life, started, processor_ticks: user.saturating_add(system) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Identity {
        Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn a_number_with_another_start_time_is_another_process() {
        let us = own();
        assert!(Held::open(us).unwrap().is_some());
        assert!(Held::open(Identity { started: us.started + 1, ..us }).unwrap().is_none());
    }

    #[test]
    fn no_number_is_no_process() {
        for pid in [0, -1, i32::MAX] {
            assert!(Held::open(Identity { pid, started: 1 }).unwrap().is_none(), "{pid}");
        }
    }

    #[test]
    fn a_program_may_have_any_name() {
        let tail = "R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["sh", "a) Z 1", ") ", "x y"] {
            let stat = Stat::parse(&format!("1 ({name}) {tail}")).unwrap();
            assert_eq!((stat.started, stat.life, stat.processor_ticks), (4711, Life::Alive, 23), "{name}");
        }
        assert!(Stat::parse("1 (sh").is_none());
        assert!(Stat::parse("1 (sh) R 1 2").is_none());
    }
}
