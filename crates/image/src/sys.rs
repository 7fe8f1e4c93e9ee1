//! The one unsafe corner: what a child does between fork and exec.
#![expect(unsafe_code, reason = "std asks for unsafe before it runs code in a forked child")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};

/// Lets the child be told to end when the thread that started it ends, so that no tool outlives a killed build.
pub(crate) fn end_with_parent(command: &mut Command) {
    let tell = || set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from);
    // SAFETY: the closure makes one prctl call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(tell) };
}
