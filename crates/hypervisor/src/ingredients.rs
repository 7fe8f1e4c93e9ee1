//! On what a saved machine depends, besides its own bytes: loaded where one of these differs, it breaks.
//! Paths and identity are not among them. Facts only: what a difference means is decided elsewhere.

use serde::{Deserialize, Serialize};

/// The facts of a boot that its saved state carries in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredients {
    /// The driver's name.
    pub hypervisor: String,
    /// The hypervisor's version, with the package's build where it says one.
    pub version: String,
    /// What runs the guest's instructions.
    pub accelerator: String,
    /// The versioned machine type with its options.
    pub machine_type: String,
    /// The processor model.
    pub cpu_model: String,
    /// Memory, as people write it.
    pub memory: String,
    /// Virtual processors.
    pub cpus: String,
    /// The kernel's command line.
    pub command_line: String,
    /// The rate of the time stamp counter in kHz; empty if unknown.
    pub tsc_khz: String,
    /// The devices, in their order, at their addresses.
    pub devices: Vec<String>,
}

impl Ingredients {
    /// The names of the facts in which two differ, as a person may read them.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        // Taken apart by name, so that a new fact cannot be forgotten here.
        let Self {
            hypervisor,
            version,
            accelerator,
            machine_type,
            cpu_model,
            memory,
            cpus,
            command_line,
            tsc_khz,
            devices,
        } = self;
        let facts = [
            ("hypervisor", *hypervisor == other.hypervisor),
            ("version", *version == other.version),
            ("accelerator", *accelerator == other.accelerator),
            ("machine type", *machine_type == other.machine_type),
            ("cpu model", *cpu_model == other.cpu_model),
            ("memory", *memory == other.memory),
            ("cpus", *cpus == other.cpus),
            ("kernel command line", *command_line == other.command_line),
            ("tsc rate", *tsc_khz == other.tsc_khz),
            ("devices", *devices == other.devices),
        ];
        facts.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}
