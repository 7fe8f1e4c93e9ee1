//! The seam of a hypervisor: a `Driver` says what to run and what it can do, a `Control` talks to one
//! running VMM. Neither spawns, waits or kills: see `process`.

pub mod qemu;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::accelerator::Accelerator;
use crate::boot_plan::{BootPlan, Share};
use crate::ingredients::Ingredients;
use crate::launch_plan::LaunchPlan;
use crate::tsc::KiloHertz;

/// What a driver may or may not be able to do with a running machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Stop and continue the virtual processors.
    Pause,
    /// Ask the guest to power off.
    PowerButton,
    /// Take memory back from the guest.
    Balloon,
    /// Change the number of virtual processors.
    ResizeCpus,
    /// Change the amount of memory.
    ResizeMemory,
    /// Grow a disk.
    ResizeDisk,
    /// Let the guest see folders of the host.
    ShareFolders,
}

/// How a driver saves a running machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveMode {
    /// Device state, and the pages in which the machine differs from its image.
    PrivatePages,
    /// Device state; the memory file is the save.
    InPlace,
    /// The VMM writes memory and state itself.
    VmmDump {
        /// Whether it can write only what changed.
        diff: bool,
    },
    /// It cannot.
    None,
}

/// What a driver can do, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Everything it does; what is not here is refused.
    pub features: &'static [Feature],
    /// How it saves.
    pub save: SaveMode,
}

impl Capabilities {
    /// Yes or no, for one feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

/// What a plan must know of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// The rate of the time stamp counter, where it is constant and known.
    pub tsc: Option<KiloHertz>,
}

/// Why there is no launch plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanRefusal {
    /// A path that the VMM's arguments cannot carry.
    #[error("path is not absolute UTF-8 text: {}", .0.display())]
    Path(PathBuf),
    /// A Unix socket's path has 107 bytes at most.
    #[error("socket path is longer than 107 bytes: {}", .0.display())]
    SocketPath(PathBuf),
    /// A kernel parameter with a space, a quote or a control character.
    #[error("not a kernel parameter: {0:?}")]
    Parameter(String),
    /// The kernel cuts its command line at 2048 bytes.
    #[error("kernel command line has {0} bytes; 2047 is the most")]
    CommandLine(usize),
    /// What starts does not fit the memory that it shall have.
    #[error("a boot takes fresh memory, a saved state the memory that was kept with it")]
    Backing,
    /// Folders of the host are served out of the guest's memory, by another process.
    #[error("a machine that sees folders of the host needs memory that can be shared")]
    NotShared,
    /// Only a boot has ingredients: a saved machine has those of the boot it comes from.
    #[error("not the plan of a boot")]
    NotABoot,
    /// The VMM is too old.
    #[error("{program} offers no machine type that this version knows; {oldest} is the oldest")]
    MachineType {
        /// The VMM.
        program: String,
        /// The oldest that would do.
        oldest: &'static str,
    },
    /// No named processor that we know runs here.
    #[error("this host's processor satisfies none of the known processor models")]
    CpuModel,
    /// More processors than the machine type takes.
    #[error("{asked} processors; {most} is the most")]
    Cpus {
        /// What was asked.
        asked: u8,
        /// What goes.
        most: u8,
    },
}

/// One hypervisor, as far as it can be known without running it.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Its name, as users write it.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// What to run for this boot. Pure: reads nothing, creates nothing.
    fn plan(&self, boot: &BootPlan, host: &Host) -> Result<LaunchPlan, PlanRefusal>;

    /// On what a machine that boots by this plan, and is saved, will depend. Pure. The plan's paths, addresses
    /// and backing do not matter; it must be a boot.
    fn ingredients(&self, boot: &BootPlan, host: &Host) -> Result<Ingredients, PlanRefusal>;

    /// Reaches a VMM's control socket; keeps trying until the deadline, since it may just be starting.
    async fn connect(&self, socket: &Path, within: Duration) -> Result<Box<dyn Control>, ControlError>;
}

/// What a VMM says it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmmStatus {
    /// Not yet running guest code.
    Starting,
    /// Running guest code.
    Running,
    /// Its processors are stopped, its memory is kept.
    Paused,
    /// The guest ended; the VMM is about to.
    Ended,
    /// The VMM stopped the guest because of an error of its own or of a disk.
    Broken,
}

/// What letting the guest see a folder came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// The guest did not see it before.
    New,
    /// It does already.
    Already,
    /// It did, by another device, whose server was gone.
    Again,
}

/// One of the places in a machine where something may be plugged in, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port(pub u8);

/// A folder of the host that the guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What the guest knows it by.
    pub tag: String,
    /// Where its device is.
    pub port: Port,
}

/// What a VMM said of its guest's end, just before its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestEnd {
    /// The guest powered off.
    PoweredOff,
    /// The guest rebooted, which is also what its kernel does after a panic.
    Reset,
    /// Someone on the host ended the VMM.
    Quit,
    /// It closed the conversation without a word: it was killed, or crashed.
    Unsaid,
}

/// Why a VMM did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("cannot reach the control socket {}", socket.display())]
    Connect {
        /// Which socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The VMM closed the conversation, mostly because it ended.
    #[error("the VMM closed its control socket during {command}")]
    Closed {
        /// What we were asking.
        command: &'static str,
    },
    /// The VMM did not answer in time.
    #[error("the VMM did not answer {command} within {} ms", within.as_millis())]
    Silent {
        /// What we were asking.
        command: &'static str,
        /// How long we waited.
        within: Duration,
    },
    /// The VMM said no.
    #[error("the VMM refused {command}: {reason}")]
    Refused {
        /// What we were asking.
        command: &'static str,
        /// Its words.
        reason: String,
    },
    /// The state was not saved.
    #[error("the VMM could not save its state to {}: {reason}", file.display())]
    NotSaved {
        /// Where to.
        file: PathBuf,
        /// The VMM's words.
        reason: String,
    },
    /// The state was not saved, because the disk is full.
    #[error("the disk is full: the VMM could not save its state to {}", file.display())]
    DiskFull {
        /// Where to.
        file: PathBuf,
    },
    /// The state was not loaded.
    #[error("the VMM could not load the saved state: {reason}")]
    NotLoaded {
        /// The VMM's words.
        reason: String,
    },
    /// The VMM said something that is not its dialect.
    #[error("the VMM's answer to {command} makes no sense: {what}")]
    Garbled {
        /// What we were asking.
        command: &'static str,
        /// The start of what it said.
        what: String,
    },
}

/// The conversation with one running VMM.
#[async_trait]
pub trait Control: Send + Sync {
    /// What it is doing.
    async fn status(&self) -> Result<VmmStatus, ControlError>;

    /// Stops its processors. Twice is once.
    async fn pause(&self) -> Result<(), ControlError>;

    /// Lets its processors go on; while a state is being loaded, as soon as it is. Twice is once.
    async fn resume(&self) -> Result<(), ControlError>;

    /// Presses the power button; whether the guest follows is the guest's affair.
    async fn press_power_button(&self) -> Result<(), ControlError>;

    /// Writes the device state, without the memory, into a new file; on failure none is left. The machine must be
    /// paused and its memory `Kept`; it stays paused. Not synced: that is for who keeps it.
    async fn save_state(&self, file: &Path) -> Result<(), ControlError>;

    /// Has a VMM that awaits its state (`Start::Awaiting`) load it from a file; `loaded` tells when it has. Once: a VMM
    /// that cannot load it ends. What the machine had attached must be attached before, where it was.
    async fn load(&self, state: &Path) -> Result<(), ControlError>;

    /// Waits until the state of a plan's `Start::Saved`, or that of `load`, is loaded: the VMM rests paused, or goes
    /// on if it was told to. Mostly called by `Vmm::loaded`, which also tells how a VMM ended that could not load it.
    async fn loaded(&self, within: Duration) -> Result<(), ControlError>;

    /// Grows the root disk and tells the guest.
    async fn resize_root(&self, bytes: u64) -> Result<(), ControlError>;

    /// The folders of the host that the guest sees, and where: to be kept with a saved state.
    async fn shares(&self) -> Result<Vec<Seen>, ControlError>;

    /// Lets the guest see a folder of the host, whose server may just be starting: at a port, or at any that is empty.
    /// Twice is once; but what was served by somebody who is gone is taken from the guest, and the guest sees a new
    /// one. Before `load` each folder must be where it was.
    async fn attach(&self, share: &Share, at: Option<Port>, within: Duration) -> Result<Attached, ControlError>;

    /// Ends the VMM, whatever the guest thinks of it. Ok once it is ending.
    async fn quit(&self) -> Result<(), ControlError>;

    /// Waits for the guest's end. Says nothing of the VMM's process: that is seen by its `exited`.
    async fn ended(&self) -> GuestEnd;
}
