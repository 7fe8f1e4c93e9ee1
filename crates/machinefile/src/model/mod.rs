//! The Machinefile as it is meant: every default filled in, every value checked. How it is written is in
//! `walk/`, where it runs is for others.

mod shown;
mod software;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use machine_core::network::{Forward, NetworkMode};
use machine_core::policy::egress::EgressPolicy;
use machine_core::{MachineName, MiB, TemplateName};
use serde::Serialize;

pub use software::{AgentTool, Containers, Packages};
pub use work::{Hooks, Provision, ProvisionAction, ProvisionWhen, Ready, ReadyCheck, Restart, RunAs, Service};

/// A project's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machinefile {
    /// Its name; also its host name.
    pub name: MachineName,
    /// What its disk begins as.
    pub base: Base,
    /// Its size.
    pub resources: Resources,
    /// What becomes of its root disk.
    pub root: Root,
    /// What is installed in its image.
    pub packages: Packages,
    /// What runs containers in it.
    pub containers: Containers,
    /// Coding agents that are installed in its image.
    pub agents: Vec<AgentTool>,
    /// Environment of every command, substituted.
    pub env: BTreeMap<String, String>,
    /// Files with more of it, read when the machine starts.
    pub env_files: Vec<EnvFile>,
    /// Secrets and where they come from; never their values.
    pub secrets: Vec<Secret>,
    /// Who works in it.
    pub user: User,
    /// The folder in which commands start.
    pub workdir: String,
    /// Folders of the host.
    pub mounts: Vec<Mount>,
    /// Ports of the host that lead to it.
    #[serde(serialize_with = "shown::texts")]
    pub ports: Vec<Forward>,
    /// Its network.
    pub network: Network,
    /// What is done to it, in order.
    pub provision: Vec<Provision>,
    /// Programs that the agent keeps running.
    pub services: Vec<Service>,
    /// When it counts as ready: all of them.
    pub ready: Vec<Ready>,
    /// Commands on the host.
    pub hooks: Hooks,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// How much it may share with the host.
    pub isolation: Isolation,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where each value came from, by its path: `resources.cpus`, `mounts[0].guest`.
    #[serde(skip)]
    pub origins: Origins,
}

/// Where values came from. What is not in it is a default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(pub(crate) BTreeMap<String, Origin>);

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said it.
    Default,
    /// A line of a file, whose path is from the project's folder.
    File {
        /// The file.
        path: String,
        /// Its line, from 1.
        line: usize,
    },
}

/// What a disk begins as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// Debian 12 from the host's package sources: `debian:12`.
    #[serde(rename = "debian:12")]
    Debian12,
    /// A template of this computer: `{template: NAME}`.
    Template(TemplateName),
}

/// A machine's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Virtual processors.
    pub cpus: u32,
    /// Memory.
    pub memory: MiB,
    /// The root disk as the guest sees it.
    pub disk: MiB,
}

/// What becomes of the root disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// Made anew with each machine.
    Ephemeral,
    /// Kept.
    Persistent,
    /// Never written.
    Readonly,
}

/// A file with environment. Shown as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// From the project's folder.
    pub path: PathBuf,
    /// Whether it may be missing (written `.env?`).
    pub optional: bool,
}

/// A secret: in the guest a file of mode 0600 in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// What the guest calls it.
    pub name: String,
    /// Where it comes from.
    pub from: SecretSource,
}

/// Where a secret comes from, on the host. Shown as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable: `env:NAME`.
    Env(String),
    /// A file, from the project's folder: `file:PATH`.
    File(PathBuf),
    /// What a command prints: `cmd:COMMAND`. Asks for trust.
    Command(String),
}

/// Who works in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// The user's and group's number; `host` is the one of the project folder's owner.
    pub uid: u32,
    /// The shell.
    pub shell: String,
    /// Whether it may become root without a password.
    pub sudo: bool,
}

/// A folder of the host in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// As it is written: from the project's folder, or absolute.
    pub host: PathBuf,
    /// Where that is on the host.
    #[serde(skip)]
    pub source: PathBuf,
    /// Where it appears in the guest.
    pub guest: String,
    /// Who may write.
    pub mode: MountMode,
    /// Paths in it, from its root, that the guest has for itself.
    pub exclude: Vec<String>,
    /// Whether files that the host runs or obeys (git's hooks and configuration, the editor's settings, the
    /// Machinefile) are read-only in the guest.
    pub guard: bool,
}

/// Who may write to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountMode {
    /// Both sides.
    Rw,
    /// The host.
    Ro,
    /// The guest, to a copy of its own.
    Copy,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Whether there is one.
    pub mode: NetworkMode,
    /// What may be reached.
    #[serde(serialize_with = "shown::egress")]
    pub egress: EgressPolicy,
    /// Whether certificate authorities that the host trusts are trusted in the guest, too.
    pub host_ca: bool,
    /// Names with fixed addresses in the guest.
    pub hosts: BTreeMap<String, std::net::IpAddr>,
}

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// For a boot, until the guest's agent answers.
    #[serde(serialize_with = "shown::seconds")]
    pub boot: Duration,
    /// For a stop, before the power is cut; 0 cuts it at once.
    #[serde(serialize_with = "shown::seconds")]
    pub stop: Duration,
}

/// How much a machine may share with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// What the file says.
    Standard,
    /// No mounts of the host, egress denied unless allowed.
    Strict,
}

impl Origins {
    /// Where the value of a path came from.
    #[must_use]
    pub fn of(&self, path: &str) -> Origin {
        self.0.get(path).cloned().unwrap_or(Origin::Default)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
        }
    }
}
