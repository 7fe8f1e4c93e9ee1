//! The machine resource: what is asked for, what is answered, and pages of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use machine_core::state::{allowed_commands, phase};
use machine_core::{Command, Machine};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::mount::Mount;
use crate::network::{NetworkInfo, NetworkWish};
use crate::word::{CommandWord, MachinePhase, MachineState, RootWord, ServiceWord, StageWord, StartedBefore, Status};

/// A machine as it is asked for. What is left out is the server's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateMachine {
    /// Its name, unique per owner; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The template, `base` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Virtual processors, 1 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Guest memory, 256 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Size of the root disk, 10240 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_mb: Option<u64>,
    /// Environment of every command.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub envs: BTreeMap<String, String>,
    /// Labels to select by; ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Any JSON object, kept as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Folder in which commands start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Only 0 (no timeout) is honoured yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether it is started, too; true if left out; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<bool>,
    /// Its network; a default one that reaches the whole internet if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkWish>,
    /// The contract's; `false`: nothing may be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_access: Option<bool>,
    /// Whether its first start boots, whatever memory images there are; ours.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cold: bool,
    /// What becomes of its root disk when it stops; `persistent` if left out; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<RootWord>,
    /// Folders of the host that it sees; ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// How long its agent may take to answer after a launch; the server's `boot_timeout` if left out; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_timeout_ms: Option<u64>,
    /// How long its programs have to end at a stop; the server's `stop_grace` if left out; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_ms: Option<u64>,
}

/// A machine's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// Virtual processors.
    pub vcpus: u32,
    /// Guest memory in MiB.
    pub memory_mb: u64,
    /// Root disk in MiB.
    pub disk_mb: u64,
}

/// How long one stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInfo {
    /// Which stage.
    pub stage: StageWord,
    /// Its time in microseconds.
    pub micros: u64,
}

/// A machine as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineInfo {
    /// Its id.
    pub id: String,
    /// The contract's word.
    pub status: Status,
    /// Its size.
    pub config: MachineConfig,
    /// The template it is made from.
    pub template: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// What its maker wrote on it.
    pub metadata: Map<String, Value>,
    /// When it last began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// 0: it has no timeout.
    pub timeout_ms: u64,
    /// Folder in which commands start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Its name; ours, as all that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it rests.
    pub state: MachineState,
    /// What people see.
    pub phase: MachinePhase,
    /// The commands that would be taken now and change something.
    pub allowed_commands: Vec<CommandWord>,
    /// Why it rests where nobody sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a person should know of how it runs, at this moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How often it was launched.
    pub generation: u64,
    /// What served its last start. Left out if it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_by: Option<ServiceWord>,
    /// How long each stage of its last start took.
    pub stages: Vec<StageInfo>,
    /// What the template's name meant when it was made.
    pub template_digest: String,
    /// Its network.
    #[serde(default)]
    pub network: NetworkInfo,
    /// What becomes of its root disk when it stops.
    #[serde(default)]
    pub root: RootWord,
    /// Folders of the host that it sees.
    #[serde(default)]
    pub mounts: Vec<Mount>,
}

/// The answer to a destroy that did not ask for progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    /// The machine's id.
    pub id: String,
    /// Always `destroyed`.
    pub status: Status,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Whether more follow.
    pub has_next: bool,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl MachineInfo {
    /// The wire's view of a machine, where only `possible` commands can be carried out.
    #[must_use]
    pub fn of(machine: &Machine, possible: &[Command]) -> Self {
        let standing = machine.standing();
        let before = if machine.started_at.is_some() { StartedBefore::Yes } else { StartedBefore::No };
        let spec = &machine.spec;
        let stages = machine.stages.iter().map(|time| StageInfo { stage: time.stage.into(), micros: time.micros });
        Self {
            id: machine.id.to_string(),
            status: Status::of(standing, before),
            config: MachineConfig { vcpus: spec.cpus, memory_mb: spec.memory.0, disk_mb: spec.disk.0 },
            template: spec.template.to_string(),
            created_at: machine.created_at,
            metadata: serde_json::from_str(&spec.metadata).unwrap_or_default(),
            started_at: machine.started_at,
            timeout_ms: 0,
            cwd: spec.cwd.clone(),
            name: spec.name.as_ref().map(ToString::to_string),
            labels: spec.labels.clone(),
            state: machine.state.into(),
            phase: phase(standing).into(),
            allowed_commands: allowed_commands(standing, possible).into_iter().map(Into::into).collect(),
            reason: machine.reason.clone(),
            warnings: machine.warnings.clone(),
            generation: machine.generation.0,
            served_by: machine.served_by().map(Into::into),
            stages: stages.collect(),
            template_digest: spec.template_digest.to_string(),
            network: NetworkInfo {
                found: machine.found_ports.iter().copied().map(Into::into).collect(),
                ..NetworkInfo::of(&spec.network)
            },
            root: spec.root.into(),
            mounts: spec.mounts.iter().map(Mount::of).collect(),
        }
    }

    /// What people call it: its name, else its id.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}
