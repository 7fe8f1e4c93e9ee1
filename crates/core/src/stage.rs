//! Stages of long work and how a person is told of them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One stage of long work. The words are those of `cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Names become digests.
    Resolve,
    /// Packages or images come from elsewhere.
    Fetch,
    /// The guest's kernel is unpacked.
    Kernel,
    /// A template is put together.
    Build,
    /// The machine's folder and disk are made.
    Disk,
    /// What was built is synced, digested and put in its place.
    Seal,
    /// The VMM starts and the kernel boots.
    Boot,
    /// A booted guest comes to rest and is kept as a memory image.
    Keep,
    /// The VMM starts on a memory image.
    Restore,
    /// The guest's memory is written to the disk.
    Save,
    /// The VMM starts on memory that was saved.
    Load,
    /// The agent answers and takes its identity.
    Agent,
    /// What a project's file says is done in the machine.
    Provision,
    /// The machine is waited for until it is ready.
    Ready,
    /// The machine powers off.
    PowerOff,
    /// What is its own is removed.
    Remove,
}

/// How long one stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// Which stage.
    pub stage: Stage,
    /// Its time in microseconds.
    pub micros: u64,
}

/// What is told while long work goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A stage begins.
    Begun(Stage),
    /// Something worth telling within a stage.
    Told(Stage, String),
    /// A stage ended.
    Ended(StageTime),
}

/// Where reports go. Cloned freely; never blocks.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Report) + Send + Sync>);

impl Stage {
    /// The stage's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Fetch => "fetch",
            Self::Kernel => "kernel",
            Self::Build => "build",
            Self::Disk => "disk",
            Self::Seal => "seal",
            Self::Boot => "boot",
            Self::Keep => "keep",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::Load => "load",
            Self::Agent => "agent",
            Self::Provision => "provision",
            Self::Ready => "ready",
            Self::PowerOff => "power_off",
            Self::Remove => "remove",
        }
    }
}

impl StageTime {
    /// The stage took this long.
    #[must_use]
    pub fn new(stage: Stage, took: Duration) -> Self {
        Self { stage, micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }
    }
}

impl Progress {
    /// Sends every report to `tell`, which must not block.
    pub fn new(tell: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Nobody listens.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| ())
    }

    /// Tells one report.
    pub fn tell(&self, report: Report) {
        (self.0)(report);
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}
