//! VMM processes, seen from the server: start, find again, wait, end. The other half is `supervise`.
//!
//! ```text
//! launch ──▶ Vmm ──exited──▶ Ending          adopt ──▶ Found::{Alive(Vmm), Ended(Ending), Never}
//!             └────kill────▶ Ending
//! ```
//! A VMM outlives the server: dropping a `Vmm` ends nothing. Nothing here knows QEMU.

pub(crate) mod guest_memory;
mod identity;
mod launch;
mod record;
mod roll_call;
mod usage;
mod vmm;

use std::fs;
use std::path::{Path, PathBuf};

pub use identity::Identity;
pub use launch::{LaunchError, VmmDied};
pub use record::{Asked, Ending, ExitRecord, ExitStatus, SupervisorRecord};
pub use roll_call::{Supervisor, kill_companions, supervisors};
pub use usage::{VmmUsage, usage};
pub use vmm::{AdoptError, Found, KillError, Vmm};

/// The running program, even when its file was replaced since: what to give as the program that has the
/// hidden verbs.
#[must_use]
pub fn this_program() -> PathBuf {
    Path::new("/proc/self/exe").to_owned()
}

/// Names this boot of the host: process ids and start times mean nothing in another one.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
