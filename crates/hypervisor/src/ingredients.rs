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
    /// Every fact by its name, as a person may read them, always in the same order.
    #[must_use]
    pub fn facts(&self) -> [(&'static str, String); 10] {
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
        [
            ("hypervisor", hypervisor.clone()),
            ("version", version.clone()),
            ("accelerator", accelerator.clone()),
            ("machine type", machine_type.clone()),
            ("cpu model", cpu_model.clone()),
            ("memory", memory.clone()),
            ("cpus", cpus.clone()),
            ("kernel command line", command_line.clone()),
            ("tsc rate", tsc_khz.clone()),
            ("devices", devices.join("; ")),
        ]
    }

    /// The names of the facts in which two differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let both = self.facts().into_iter().zip(other.facts());
        both.filter(|(ours, theirs)| ours != theirs).map(|((name, _), _)| name).collect()
    }
}
