//! Memory images: a template that was booted once and kept, so that machines are made by mapping it.
//! One image serves one shape of machine in one place; whoever keeps it checks that it still fits there.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::network::NetworkMode;
use crate::promise::provider::ProviderError;
use crate::size::MiB;
use crate::spec::MachineSpec;
use crate::stage::Progress;

/// Makes and keeps memory images.
#[async_trait]
pub trait MemoryImages: Send + Sync {
    /// Makes the image of a shape, or finds it made.
    async fn build(&self, wish: &ImageWish, progress: &Progress) -> Result<MemoryImage, ProviderError>;

    /// Every image here, also those that no machine can use any more.
    async fn list(&self) -> Result<Vec<MemoryImage>, ProviderError>;

    /// Removes an image; machines of it go on. Of one that is not here: `NoMemoryImage`.
    async fn remove(&self, id: &Digest) -> Result<(), ProviderError>;

    /// Removes every image that cannot be used here any more, and answers which.
    async fn prune(&self) -> Result<Vec<MemoryImage>, ProviderError>;

    /// Reads every image whole and compares it with its digests; removes the damaged and answers which.
    async fn scrub(&self) -> Result<Vec<MemoryImage>, ProviderError>;
}

/// What machines an image serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// The template, pinned.
    pub template: Digest,
    /// Virtual processors.
    pub cpus: u32,
    /// Guest memory.
    pub memory: MiB,
    /// Whether its machines have a NIC. Not spelled where they do, so that the names of images that were made
    /// before there was a choice stay theirs.
    #[serde(default, skip_serializing_if = "NetworkMode::is_usual")]
    pub network: NetworkMode,
}

impl Shape {
    /// The shape of a machine.
    #[must_use]
    pub fn of(spec: &MachineSpec) -> Self {
        Self {
            template: spec.template_digest.clone(),
            cpus: spec.cpus,
            memory: spec.memory,
            network: spec.network.mode,
        }
    }
}

/// An image to be made ahead of need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageWish {
    /// For which machines.
    pub shape: Shape,
    /// A line for the guest's shell, run as root before the image is kept: what it leaves in memory, every
    /// machine of the image has.
    pub warm_up: Option<String>,
    /// Make it again although it is there.
    pub anew: bool,
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryImage {
    /// Its name: the digest of all that it depends on.
    pub id: Digest,
    /// What machines it serves.
    pub shape: Shape,
    /// When it was made.
    pub created_at: Timestamp,
    /// Bytes that it occupies on the host's disk.
    pub size_bytes: u64,
    /// What runs it, for people: the VMM with its version, and the accelerator.
    pub hypervisor: String,
    /// How many machines stand on it.
    pub machines: u64,
    /// Whether this host can make machines of it.
    pub fitness: Fitness,
    /// Whether this call made it.
    pub built_now: bool,
}

/// Whether an image can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "what")]
pub enum Fitness {
    /// By machines made now.
    Fit,
    /// It was made under other circumstances: these differ now.
    Stale(Vec<String>),
    /// A part is missing or not what was sealed.
    Damaged(String),
}
