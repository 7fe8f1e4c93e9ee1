//! What a supervisor writes down, for whichever server comes to read it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::boot_plan::RunFolder;
use crate::whole_file;
use machine_core::MachineId;
use machine_core::machine::Generation;

/// How often a cgroup that is not empty yet is tried again, and after how long.
const SWEEPS: u32 = 100;
const BETWEEN_SWEEPS: Duration = Duration::from_millis(5);

/// Written once the VMM runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorRecord {
    /// Whose VMM.
    pub machine: MachineId,
    /// Which start of the machine.
    pub generation: Generation,
    /// Which boot of the host.
    pub boot: String,
    /// The supervisor's process.
    pub supervisor: Identity,
    /// The VMM's process.
    pub vmm: Identity,
    /// The cgroup that was made for both, if the host allows that.
    pub cgroup: Option<PathBuf>,
    /// What the host did not allow, as sentences for `machine doctor`.
    pub notes: Vec<String>,
}

impl SupervisorRecord {
    /// The record in this folder, if there is one.
    pub fn read(run: &RunFolder) -> io::Result<Option<Self>> {
        whole_file::read_json(&run.supervisor_file())
    }

    /// Removes the empty cgroup; a full one, or none, stays as it is.
    ///
    /// A process that was seen to end may be in it for some moments more.
    pub(crate) async fn sweep_cgroup(&self) {
        let Some(path) = &self.cgroup else { return };
        let mut removed = std::fs::remove_dir(path);
        for _ in 0..SWEEPS {
            match &removed {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                Err(_) | Ok(()) => break,
            }
            tokio::time::sleep(BETWEEN_SWEEPS).await;
            removed = std::fs::remove_dir(path);
        }
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(machine = %self.machine, %error, cgroup = %path.display(), "cannot remove cgroup");
        }
    }
}

/// Whether the supervisor was told to end its VMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// By a signal to the supervisor.
    Yes,
    /// The VMM ended by itself, by its control socket, or was killed by someone.
    No,
}

/// How a VMM ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By itself, with this code. 0: the guest powered off or rebooted, or the VMM was told to quit.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It never ran.
    NotStarted {
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exit code {code}"),
            Self::Signal(signal) => write!(out, "signal {signal}"),
            Self::NotStarted { reason } => write!(out, "never started: {reason}"),
        }
    }
}

/// Written once the VMM has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Whose VMM.
    pub machine: MachineId,
    /// Which start of the machine.
    pub generation: Generation,
    /// How it ended.
    pub status: ExitStatus,
    /// Whether the supervisor was told to.
    pub asked: Asked,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

impl ExitRecord {
    /// The record in this folder, if there is one.
    pub fn read(run: &RunFolder) -> io::Result<Option<Self>> {
        whole_file::read_json(&run.exit_file())
    }
}

/// What is known of a VMM that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its supervisor wrote it down.
    Recorded(ExitRecord),
    /// Its supervisor was killed, and the VMM with it.
    SupervisorKilled,
    /// The host has booted since.
    HostRebooted,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Recorded(exit) => exit.status.fmt(out),
            Self::SupervisorKilled => out.write_str("its supervisor was killed"),
            Self::HostRebooted => out.write_str("the host has booted since"),
        }
    }
}
