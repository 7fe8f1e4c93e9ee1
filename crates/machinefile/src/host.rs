//! Facts of the host that checks and defaults need. Whoever asks for a file to be read finds them out.

use std::path::PathBuf;

use machine_core::MiB;

/// What is known of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory: MiB,
    /// The home folder of who asks.
    pub home: Option<PathBuf>,
    /// The first port that who asks may listen on; 1024 for most, 0 for root.
    pub first_port: u16,
}
