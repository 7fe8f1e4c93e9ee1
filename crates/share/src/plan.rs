//! What a share is started with: one JSON file. It is read once; a share whose plan changes is started anew.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// In milliseconds.
const A_DAY: u64 = 86_400_000;

/// The hidden verb of the program that runs a share; its one argument is the plan's path.
pub const SHARE_VERB: &str = "share";

/// Before the path of a folder, in the plan's stead: the share ends as soon as it is known whether it could run.
pub const CHECK_FLAG: &str = "--check";

/// One folder of the host, shown to one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharePlan {
    /// The Unix socket that the VMM's vhost-user-fs device connects to; the share makes it and ends with the
    /// connection.
    pub socket: PathBuf,
    /// The folder. A symbolic link here is followed once, at the start.
    pub folder: PathBuf,
    /// What the machine may do with it.
    pub access: Access,
    /// Whose the files are on the host, and whose they appear to be in the machine.
    pub owner: Owner,
    /// Paths in the folder (`target`, `web/node_modules`) of which the machine sees no content: the name is an
    /// empty folder that cannot be changed, over which the machine mounts its own.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Paths in the folder (`.git/hooks`, `Machinefile`) that can be read and not changed, nor made where they are
    /// missing, nor reached by another name for writing; what is below them neither.
    #[serde(default)]
    pub guard: Vec<String>,
    /// What the machine's kernel may remember.
    #[serde(default)]
    pub cache: Cache,
    /// Where changes that the host makes are told.
    #[serde(default)]
    pub watch: Option<Watch>,
}

/// What the machine may do with the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read and change it, but for what is guarded.
    ReadWrite,
    /// Read it.
    ReadOnly,
}

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The host's user, who the share runs as: what the machine makes belongs to them.
    pub host_uid: u32,
    /// Their group.
    pub host_gid: u32,
    /// The user of the machine whom every file appears to belong to.
    pub guest_uid: u32,
    /// Their group.
    pub guest_gid: u32,
}

/// How long the machine's kernel goes by what it knows. Nothing can take it back but the machine itself, which is
/// told by `Watch` of what to ask anew; without a watcher these are how late it sees a change of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// That a name leads to a file, in milliseconds.
    pub entry_ms: u64,
    /// A file's size, times and mode, in milliseconds. Its content is kept for as long as these do not change.
    pub attributes_ms: u64,
    /// That there is no file of a name, in milliseconds.
    pub absent_ms: u64,
    /// What happens to what the machine writes.
    pub writes: Writes,
    /// How long the share looks for the next request before it sleeps, in microseconds.
    pub linger_us: u64,
}

/// What happens to what the machine writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// On the host before the program goes on.
    Through,
    /// On the host when the file is closed or memory is short.
    Back,
}

impl Default for Cache {
    /// For a folder that is watched by nobody: a change of the host is seen within a second.
    fn default() -> Self {
        Self { entry_ms: 1000, attributes_ms: 1000, absent_ms: 0, writes: Writes::Through, linger_us: 0 }
    }
}

/// The watcher of the host's own changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The Unix socket on which one reader at a time is given the batches; the share makes it.
    pub socket: PathBuf,
    /// How long a batch is collected after its first change, in milliseconds.
    #[serde(default = "Watch::settle_ms")]
    pub settle_ms: u64,
    /// Folders watched at most.
    #[serde(default = "Watch::folders")]
    pub folders: usize,
}

impl Cache {
    /// For a folder whose changes are told to the machine by a reader of `Watch`: what it knows stays until it is
    /// told. Measured under TCG, against the machine's own disk in the same run: 2,000 files unpacked in 2.8 times
    /// its time, `git status` of 5,000 files in 1.2 times (the first in 3.4). Writing back and lingering made no
    /// difference that could be told from noise.
    #[must_use]
    pub fn watched() -> Self {
        Self { entry_ms: A_DAY, attributes_ms: A_DAY, ..Self::default() }
    }
}

impl Watch {
    fn settle_ms() -> u64 {
        50
    }

    fn folders() -> usize {
        20_000
    }
}
