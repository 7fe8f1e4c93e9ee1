//! What to run: a program, its arguments and the files it wants first. Made by a driver, carried out by
//! `supervise`. It is plain data and travels to the supervisor as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::boot_plan::RunFolder;
use machine_core::MachineId;
use machine_core::machine::Generation;

/// One VMM, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// Whose VMM it is.
    pub machine: MachineId,
    /// Which start of the machine.
    pub generation: Generation,
    /// The VMM's program.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub arguments: Vec<String>,
    /// Files to write, readable by the owner alone, before it starts.
    pub files: Vec<PlannedFile>,
    /// What joins it to its companions.
    #[serde(default)]
    pub wire: Wire,
    /// Processes that it needs beside it.
    #[serde(default)]
    pub companions: Vec<Companion>,
    /// Where its sockets, logs and records are.
    pub run: RunFolder,
}

/// The descriptor by which a VMM holds one end of its wire, and every companion that holds it the other.
pub const WIRE_DESCRIPTOR: i32 = 3;

/// The descriptor by which a companion holds the end of its strongbox into which it puts.
pub const STRONGBOX_DESCRIPTOR: i32 = WIRE_DESCRIPTOR;

/// What joins a VMM to its companions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Nothing.
    #[default]
    None,
    /// A pair of connected Unix sockets of sequenced packets. It outlives each companion, since the supervisor
    /// holds their end as well; without any companion the VMM's end is closed from the other side.
    Packets,
}

/// A process beside a VMM: a hidden verb of our own program. It is started with the VMM, started again when
/// it ends, and ended with the VMM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// The word for it: what it says goes to `NAME.log` in the run folder, bounded.
    pub name: String,
    /// The verb, and what follows it.
    pub arguments: Vec<String>,
    /// What it holds of the VMM's.
    #[serde(default)]
    pub holds: Holds,
}

/// What a companion holds beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Their end of the wire.
    #[default]
    Wire,
    /// Nothing: it is spoken to at a socket of its own.
    Nothing,
    /// A strongbox: two connected Unix sockets of sequenced packets, one as its standard input and the other as
    /// `STRONGBOX_DESCRIPTOR`. The supervisor holds both as well, so what one life of the companion puts into the
    /// one, descriptors too, the next life finds in the other.
    Strongbox,
}

/// A file that the VMM reads at its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub contents: String,
}
