//! A place that holds machines: this host, later others and clouds.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::code::Code;
use crate::command::Command;
use crate::id::MachineId;
use crate::machine::Generation;
use crate::policy::admit::Capacity;
use crate::promise::guest::{Guest, GuestError, Identity};
use crate::promise::image_source::ImageError;
use crate::promise::network::NetworkError;
use crate::refusal::Refusal;
use crate::size::MiB;
use crate::spec::{MachineSpec, RootFate};
use crate::stage::Progress;
use crate::state::{Sighting, State};

/// Holds machines. Every method may be repeated: twice is once.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What this place has to give.
    async fn offers(&self) -> Result<Offer, ProviderError>;

    /// Makes a machine's folder and disk, from its template.
    async fn prepare(&self, plan: &MachinePlan, progress: &Progress) -> Result<(), ProviderError>;

    /// Brings a prepared machine from where it rests, `plan.from`, to a power state. `Running`: until its agent
    /// answers as `plan.identity`; one that is paused goes on, one that is hibernated with the memory that was saved,
    /// which is kept until `forget_saved`. `Off` asks the guest first and ends the VMM when the grace is over. A root
    /// that `plan.root` gives up is gone once the machine is off, and new before it runs; a launch of this generation
    /// that lives is taken up as it is. Also called to take a command back: then it is brought to `plan.from`.
    async fn bring_to(&self, plan: &MachinePlan, power: Power, progress: &Progress) -> Result<(), ProviderError>;

    /// Forgets the memory that a machine was hibernated with: it is on record that the machine rests elsewhere since.
    async fn forget_saved(&self, machine: &MachineId) -> Result<(), ProviderError>;

    /// The agent of a running machine.
    async fn reach_guest(&self, machine: &MachineId) -> Result<Arc<dyn Guest>, ProviderError>;

    /// What can be seen of a machine: at once, or when it stops running.
    async fn observe(&self, machine: &MachineId, wait: Wait) -> Result<Observation, ProviderError>;

    /// What a running machine of this much memory costs this place.
    async fn usage(&self, machine: &MachineId, memory: MiB) -> Result<Usage, ProviderError>;

    /// Where a machine's disk is read while it rests; none where it cannot be read from this computer.
    fn root_disk(&self, _machine: &MachineId) -> Option<PathBuf> {
        None
    }

    /// Removes everything of a machine here. Of one that is not here: nothing.
    async fn remove(&self, machine: &MachineId) -> Result<(), ProviderError>;

    /// Every machine that has something here, by listing the world and not our records.
    async fn everything_ours(&self) -> Result<Vec<MachineId>, ProviderError>;
}

/// What a machine shall be, in this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachinePlan {
    /// Which machine.
    pub id: MachineId,
    /// Which launch of it.
    pub generation: Generation,
    /// What it shall be.
    pub spec: MachineSpec,
    /// Who the guest becomes.
    pub identity: Identity,
    /// What the command means for its root disk.
    pub root: RootFate,
    /// Where it rested before the command.
    pub from: State,
}

/// What a place has to give and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its size.
    pub capacity: Capacity,
    /// The commands it can carry out.
    pub commands: Vec<Command>,
    /// How guests run here, for people: `kvm`, or `emulated` and why.
    pub accelerator: String,
}

/// What a running machine costs, in bytes unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Memory of its VMM that is present, shared or not.
    pub resident: u64,
    /// Memory of its VMM that nobody else has.
    pub private: u64,
    /// The guest's memory that is its own: what it changed since its image, or all that it uses without one.
    pub guest_private: u64,
    /// The guest's memory that is present and shared with its image.
    pub guest_shared: u64,
    /// What its own disk occupies on the host's.
    pub disk: u64,
    /// Processor time of its VMM, in milliseconds.
    pub cpu_ms: u64,
}

/// A power state to bring a machine to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Booted or resumed, its agent answering.
    Running,
    /// Its processors stopped, its memory in memory.
    Paused,
    /// Its memory on disk, together with the disk that belongs to it, for good; no VMM.
    Hibernated,
    /// Off after asking the guest; the VMM is ended when the grace is over.
    OffGently,
    /// Off now: pulls the plug.
    OffNow,
}

/// Whether to look now or to wait for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Look and answer.
    Now,
    /// Answer when the machine does not run (any more).
    UntilOff,
}

/// What is to be seen of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Nothing of it is here.
    Nothing,
    /// Its disk is here, no VMM; how its last run ended, if it ever ran.
    Off(Option<Ending>),
    /// Its VMM runs this launch.
    On(Generation),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Which launch ended.
    pub generation: Generation,
    /// What it looked like.
    pub sighting: Sighting,
    /// Its last words, for people.
    pub detail: String,
}

/// Why a place could not do it.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The template's parts cannot be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The guest did not do its part.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The VMM ended while the machine was starting.
    #[error("the machine ended while it was starting: {detail}")]
    Died {
        /// How it ended and its boot log's tail.
        detail: String,
    },
    /// The agent did not answer in time.
    #[error("the agent did not answer within {seconds} s")]
    Silent {
        /// The deadline.
        seconds: u64,
        /// The boot log's tail.
        log: String,
    },
    /// The host lacks something.
    #[error("this host cannot run machines: {lacks}")]
    NotCapable {
        /// What it lacks.
        lacks: String,
        /// How to get it.
        hint: String,
    },
    /// The line that an image should be warmed up with failed.
    #[error("the warm-up of the memory image failed: {detail}")]
    WarmUp {
        /// How it ended, and what it said.
        detail: String,
    },
    /// No memory image by that name.
    #[error("no memory image: {id}")]
    NoMemoryImage {
        /// The name.
        id: String,
    },
    /// The memory that the machine was hibernated with cannot be used.
    #[error("the saved memory cannot be used: {what}")]
    Saved {
        /// What is wrong with it.
        what: String,
        /// Whether it is damaged, or only not for this host.
        fault: SavedFault,
    },
    /// The machine's network is not as it was asked for.
    #[error(transparent)]
    Network(Box<NetworkError>),
    /// A folder of the host that the machine sees is not there.
    #[error("cannot show the machine the folder {}: {detail}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// The host refuses what it takes to show folders.
    #[error("this host cannot share folders with machines: {why}")]
    NoSharing {
        /// What it refuses.
        why: String,
    },
    /// The host's disk is full.
    #[error("cannot {tried}: the disk is full")]
    DiskFull {
        /// What was tried.
        tried: String,
    },
    /// The machine does not run here.
    #[error("the machine does not run")]
    NotRunning,
    /// The host refused something.
    #[error("cannot {tried}: {detail}")]
    Host {
        /// What was tried.
        tried: String,
        /// What the host said.
        detail: String,
    },
}

/// Why saved memory cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedFault {
    /// It is not what was saved, or not all of it is there.
    Damaged,
    /// It was saved by a VMM, or on a host, that differs.
    Incompatible,
    /// This machine, as it runs, cannot be saved.
    Unsavable,
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        let message = error.to_string();
        match error {
            ProviderError::Image(image) => image.into(),
            ProviderError::Guest(guest) => guest.into(),
            ProviderError::Died { .. } => Self::new(Code::BootFailed, message)
                .hint("`machine doctor` checks the host; the guest's last words are above"),
            ProviderError::Silent { log, .. } => {
                Self::new(Code::BootTimeout, format!("{message}; the boot log ends with:\n{log}"))
                    .hint("a slow host needs a longer deadline: `boot_timeout` in config.toml of MACHINE_HOME")
            }
            ProviderError::NotCapable { hint, .. } => Self::new(Code::HostNotCapable, message).hint(hint),
            ProviderError::WarmUp { .. } => Self::new(Code::BuildError, message)
                .hint("try the line with `machine exec` on a machine of the template; nothing was kept"),
            ProviderError::NoMemoryImage { .. } => {
                Self::new(Code::ImageNotFound, message).hint("`machine image ls` lists the memory images")
            }
            ProviderError::Saved { fault, .. } => match fault {
                SavedFault::Damaged => Self::new(Code::Damaged, message)
                    .hint("give the memory up with `machine stop`; its disk is kept, and boots"),
                SavedFault::Incompatible => Self::new(Code::SnapshotIncompatible, message)
                    .hint("resume it where it was saved, or give the memory up with `machine stop`: its disk is kept"),
                SavedFault::Unsavable => Self::new(Code::MachineNotReady, message)
                    .reason("cannot_be_saved")
                    .hint("`machine pause` keeps it as it is, in memory; `machine stop` keeps its disk"),
            },
            ProviderError::Network(network) => (*network).into(),
            ProviderError::Folder { .. } => Self::new(Code::MachineNotReady, message)
                .reason("folder_missing")
                .hint("put the folder back; which folders a machine sees is said when it is made"),
            ProviderError::NoSharing { .. } => Self::new(Code::HostNotCapable, message).reason("no_sharing").hint(
                "a project's machine that is made anew gets copies: `machine reset`, which gives up what is in it",
            ),
            ProviderError::DiskFull { .. } => {
                Self::new(Code::DiskFull, message).hint("free some space, or give MACHINE_HOME a larger disk")
            }
            ProviderError::NotRunning => Self::new(Code::MachineNotReady, message).reason("not_running"),
            ProviderError::Host { .. } => Self::new(Code::InternalError, message),
        }
    }
}
