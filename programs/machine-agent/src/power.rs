//! Ends everything and powers the guest off.
//!
//! ```text
//! on ──asked, SIGTERM, Ctrl-Alt-Del──▶ SIGTERM to all ──grace──▶ SIGKILL to all ──▶ sync ──▶ off
//! ```

use crate::console::say;
use crate::{processes, sys};
use machine_agent_protocol::{Answer, Failed, FailureCode};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::system::{RebootCommand, reboot};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

const SIGNAL_GRACE_MS: u64 = 5000;
const LONGEST_GRACE_MS: u64 = 10 * 60 * 1000;
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The answer to the host leaves first.
const ANSWER_FIRST: Duration = Duration::from_millis(20);

/// Who started everything else in this guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    Us,
    Other,
}

/// The handle on the task that can power off.
#[derive(Debug, Clone)]
pub(crate) struct Power {
    init: Init,
    orders: mpsc::Sender<u64>,
    going_off: watch::Receiver<bool>,
}

impl Power {
    pub(crate) fn start(init: Init) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel(1);
        let (goes_off, going_off) = watch::channel(false);
        match init {
            Init::Other => {}
            Init::Us => {
                let door = orders.clone();
                for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
                    let (mut signals, door) = (signal(kind)?, door.clone());
                    tokio::spawn(async move {
                        signals.recv().await;
                        // A second order while one is being done changes nothing.
                        door.send(SIGNAL_GRACE_MS).await.ok();
                    });
                }
                tokio::spawn(obey(inbox, goes_off));
            }
        }
        Ok(Self { init, orders, going_off })
    }

    /// Whether nothing is started any more.
    pub(crate) fn going_off(&self) -> watch::Receiver<bool> {
        self.going_off.clone()
    }

    /// Begins to power off after the answer was sent.
    pub(crate) async fn off(&self, grace_ms: u64) -> Result<Answer, Failed> {
        match self.init {
            Init::Other => Err(Failed {
                code: FailureCode::Unsupported,
                message: "the agent is not this system's init and does not power it off".to_owned(),
            }),
            Init::Us => {
                self.orders.try_send(grace_ms.min(LONGEST_GRACE_MS)).ok();
                Ok(Answer::DONE)
            }
        }
    }
}

async fn obey(mut orders: mpsc::Receiver<u64>, goes_off: watch::Sender<bool>) {
    let Some(grace_ms) = orders.recv().await else { return };
    goes_off.send_replace(true);
    tokio::time::sleep(ANSWER_FIRST).await;
    let until = Instant::now() + Duration::from_millis(grace_ms);
    sys::signal_everybody(libc::SIGTERM);
    sys::signal_everybody(libc::SIGCONT);
    wait_for_end(until).await;
    sys::signal_everybody(libc::SIGKILL);
    wait_for_end(Instant::now() + Duration::from_secs(1)).await;
    off();
}

async fn wait_for_end(until: Instant) {
    while processes::foreign().next().is_some() && Instant::now() < until {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Powers off at once, with what is on the disk safe.
pub(crate) fn off() {
    rustix::fs::sync();
    unmount_all();
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        say(format_args!("cannot power off: {error}"));
    }
}

fn unmount_all() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let on_disk = mounts.lines().rev().filter(|line| line.starts_with("/dev/"));
    for place in on_disk.filter_map(|line| line.split(' ').nth(1)) {
        if place == "/" {
            continue;
        }
        // One that is busy is at least synced.
        rustix::mount::unmount(place, UnmountFlags::DETACH).unwrap_or_default();
    }
    rustix::mount::mount_remount("/", MountFlags::RDONLY, "").unwrap_or_default();
}
