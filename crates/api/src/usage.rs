//! Figures of machines that run: what they cost this host, and how their guests say they are.

use jiff::Timestamp;
use machine_core::Machine;
use machine_core::promise::awakening::Vitals;
use machine_core::promise::provider::Usage;
use serde::{Deserialize, Serialize};

/// What a running machine costs this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageInfo {
    /// The machine's id.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which launch of it.
    pub generation: u64,
    /// When this was so.
    pub at: Timestamp,
    /// Its virtual processors.
    pub vcpus: u32,
    /// Its guest memory in MiB.
    pub memory_mb: u64,
    /// Memory of its VMM that is present, shared or not.
    pub resident_bytes: u64,
    /// Memory of its VMM that nobody else has.
    pub private_bytes: u64,
    /// The guest's memory that is its own: what it changed since its image.
    pub guest_private_bytes: u64,
    /// The guest's memory that is present and shared with its image.
    pub guest_shared_bytes: u64,
    /// What its own disk occupies on the host's.
    pub disk_bytes: u64,
    /// Processor time of its VMM in this launch, in milliseconds.
    pub cpu_ms: u64,
    /// What its guest uses of its memory, in the guest's words. Left out if it was not asked, or did not
    /// answer at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_used_bytes: Option<u64>,
}

/// How a guest is, in its own words. Exactly the contract's fields: its published client fails on an extra
/// one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineMetrics {
    /// When this was so.
    pub timestamp: Timestamp,
    /// How busy its processors were of late, all together: 0 to 100.
    pub cpu_percent: f64,
    /// Its processors.
    pub cpu_count: u32,
    /// Memory that cannot be had without swapping.
    pub mem_used_bytes: u64,
    /// All its memory.
    pub mem_total_bytes: u64,
    /// What is not free of its root file system.
    pub disk_used_bytes: u64,
    /// The size of its root file system.
    pub disk_total_bytes: u64,
    /// Bytes that came over its network since it booted.
    pub network_rx_bytes: u64,
    /// Bytes that went.
    pub network_tx_bytes: u64,
}

impl UsageInfo {
    /// The wire's view of what a machine costs.
    #[must_use]
    pub fn of(machine: &Machine, usage: &Usage, at: Timestamp) -> Self {
        Self {
            id: machine.id.to_string(),
            name: machine.spec.name.as_ref().map(ToString::to_string),
            generation: machine.generation.0,
            at,
            vcpus: machine.spec.cpus,
            memory_mb: machine.spec.memory.0,
            resident_bytes: usage.resident,
            private_bytes: usage.private,
            guest_private_bytes: usage.guest_private,
            guest_shared_bytes: usage.guest_shared,
            disk_bytes: usage.disk,
            cpu_ms: usage.cpu_ms,
            guest_used_bytes: None,
        }
    }

    /// What people call the machine: its name, else its id.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

impl MachineMetrics {
    /// The wire's view of a guest's vitals. A guest may say anything: nothing here is below zero.
    #[must_use]
    pub fn of(vitals: &Vitals, cpu_percent: f64, timestamp: Timestamp) -> Self {
        Self {
            timestamp,
            cpu_percent,
            cpu_count: vitals.cpus,
            mem_used_bytes: memory_used(vitals),
            mem_total_bytes: vitals.memory_total_bytes,
            disk_used_bytes: vitals.disk_total_bytes.saturating_sub(vitals.disk_available_bytes),
            disk_total_bytes: vitals.disk_total_bytes,
            network_rx_bytes: vitals.network_received_bytes,
            network_tx_bytes: vitals.network_sent_bytes,
        }
    }
}

/// Memory of a guest that cannot be had without swapping.
#[must_use]
pub const fn memory_used(vitals: &Vitals) -> u64 {
    vitals.memory_total_bytes.saturating_sub(vitals.memory_available_bytes)
}
