//! What a machine shall be. Everything in it was checked at the door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::mount::MountSpec;
use crate::name::{MachineName, TemplateName};
use crate::network::NetworkSpec;
use crate::size::MiB;

/// A machine as it was asked for, with its template pinned to one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Its name, unique per owner; also its host name. A machine without one is called by its id.
    pub name: Option<MachineName>,
    /// The template it is made from, as it was asked for.
    pub template: TemplateName,
    /// What that name meant when the machine was made.
    pub template_digest: Digest,
    /// Virtual processors, at least one.
    pub cpus: u32,
    /// Guest memory.
    pub memory: MiB,
    /// Size of the root disk as the guest sees it.
    pub disk: MiB,
    /// Environment of every command that runs in it.
    pub envs: BTreeMap<String, String>,
    /// Labels for people and programs to select by.
    pub labels: BTreeMap<String, String>,
    /// Any JSON object, kept as it came; its text form.
    pub metadata: String,
    /// Folder in which commands start unless they say otherwise.
    pub cwd: Option<String>,
    /// How its first start gets going.
    #[serde(default)]
    pub first_start: FirstStart,
    /// Its network.
    #[serde(default)]
    pub network: NetworkSpec,
    /// What becomes of its root disk when it stops.
    #[serde(default)]
    pub root: RootLife,
    /// Folders of the host that it sees. No two at one place of the guest.
    #[serde(default)]
    pub mounts: Vec<MountSpec>,
}

/// What becomes of a machine's root disk when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootLife {
    /// It is kept.
    #[default]
    Persistent,
    /// It is given up: the next start begins with the template's. A machine that failed keeps it.
    Ephemeral,
    /// There is nothing to keep: the guest cannot write to it. What programs must write lies in memory.
    ReadOnly,
}

/// How a machine's first start gets going. Every later one boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstStart {
    /// From the memory image of its template; one that is not there is made.
    #[default]
    Image,
    /// By booting, whatever images there are.
    Boot,
}
