//! Holds machines on this host: one folder each, one VMM each. Turns a `MachinePlan` (what) into a
//! `BootPlan` (where) and asks the hypervisor crate to run it.
//!
//! ```text
//! <machines>/<id>/root.qcow2            the root disk, over the template's; layers over it, see `layers.rs`
//! <machines>/<id>/saved/                what it was hibernated with, see `saved.rs`
//! <machines>/<id>/image/                its own names of the parts of the memory image that it was made of
//! <machines>/<id>/run/                  sockets, logs and records of its VMM
//! <images>/<hex>/                       memory images, see `memory_image/store.rs`
//! ```

mod boot;
mod ending;
mod hibernate;
mod host;
mod layers;
mod memory_image;
mod mirror;
mod network;
mod pass_on;
mod power_on;
mod restore;
mod resume;
mod root;
mod saved;
mod seats;
mod shares;
mod sharing;
mod ssh_keys;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use machine_core::promise::guest::{Guest, GuestDoor};
use machine_core::promise::image_source::{Ground, ImageSource};
use machine_core::promise::provider::{
    Ending, MachinePlan, Observation, Offer, Power, Provider, ProviderError, Usage, Wait,
};
use machine_core::spec::RootFate;
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_core::{Command, MachineId, MiB, State};
use machine_hypervisor::boot_plan::{Memory, RunFolder};
use machine_hypervisor::process::{self, Found, Vmm, supervisors};
use tokio::sync::Semaphore;

pub use host::HostSettings;
use host::LocalHost;
use layers::Layers;
use memory_image::{ImageStore, Lent};
pub use pass_on::Proxies;
use seats::Seats;
pub use sharing::probe_sharing;

/// A VMM that does not do what it is told within this does not work.
const CONTROL: Duration = Duration::from_secs(20);
/// Guests that start at a time, for each processor of the host.
const STARTS_A_CPU: usize = 2;

/// How much of a boot log an error shows, in bytes.
const LOG_TAIL: usize = 2048;
/// An agent that is there answers well within this.
const KNOCK: Duration = Duration::from_secs(5);
/// Beyond the guest's own grace, what a VMM needs to end.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// The machines of one installation on this host, and their memory images. Clones are the same.
#[derive(Clone)]
pub struct LocalProvider {
    settings: Arc<HostSettings>,
    host: Arc<LocalHost>,
    images: Arc<dyn ImageSource>,
    door: Arc<dyn GuestDoor>,
    seats: Arc<Seats>,
    store: Arc<ImageStore>,
    /// One image is made at a time.
    baking: Arc<tokio::sync::Mutex<()>>,
    starting: Arc<Semaphore>,
    /// The machine of nobody that boots for an image now.
    builder: Arc<Mutex<Option<MachineId>>>,
    /// Machines that came to be here in this life of the server, or were made as new, and were not launched
    /// since: nobody else can have started a supervisor for them, so none need be looked for among all processes.
    unlaunched: Arc<Mutex<HashSet<MachineId>>>,
    /// Set once this host is known to let folders be shared.
    shares_folders: Arc<OnceLock<()>>,
}

impl LocalProvider {
    /// The machines below `settings.machines`. Removes what an interrupted making of an image left, and seals,
    /// meanwhile, what an earlier server did not.
    ///
    /// # Errors
    /// If that cannot be removed.
    pub fn open(settings: HostSettings, images: Arc<dyn ImageSource>, door: Arc<dyn GuestDoor>) -> io::Result<Self> {
        let store = Arc::new(ImageStore::new(settings.images.clone()));
        store.sweep()?;
        store.clone().finish_apart();
        let host = Arc::new(LocalHost::new(settings.clone()));
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let starting = Arc::new(Semaphore::new(cpus * STARTS_A_CPU));
        let (seats, settings) = (Arc::default(), Arc::new(settings));
        let (baking, builder, unlaunched) = (Arc::default(), Arc::default(), Arc::default());
        let shares_folders = Arc::default();
        Ok(Self { settings, host, images, door, seats, store, baking, starting, builder, unlaunched, shares_folders })
    }

    /// Ends what nobody would miss: a machine that boots for an image. The machines go on.
    ///
    /// # Errors
    /// If it cannot be ended.
    pub async fn close(&self) -> Result<(), ProviderError> {
        let builder = self.builder.lock().unwrap_or_else(PoisonError::into_inner).take();
        match builder {
            Some(builder) => self.remove(&builder).await,
            None => Ok(()),
        }
    }

    /// The end of a machine's console, at most `most` bytes.
    ///
    /// # Errors
    /// If it cannot be read; a machine that never ran has an empty one.
    pub fn boot_log(&self, machine: &MachineId, most: usize) -> io::Result<Vec<u8>> {
        Vmm::console_tail(&self.run(machine), most)
    }

    fn folder(&self, machine: &MachineId) -> PathBuf {
        self.settings.machines.join(machine.as_str())
    }

    /// By way of the short name: a socket's path is at most 107 bytes.
    fn run(&self, machine: &MachineId) -> RunFolder {
        RunFolder(self.settings.short.join(machine.as_str()).join("run"))
    }

    async fn find(&self, machine: &MachineId) -> Result<Found, ProviderError> {
        let run = self.run(machine);
        Vmm::adopt(&run).await.map_err(|error| host_refused("look for its VMM", error))
    }

    async fn guest(&self, machine: &MachineId, within: Duration) -> Result<Arc<dyn Guest>, ProviderError> {
        let _port = self.seats.knock(machine).await;
        if let Some(guest) = self.seats.guest(machine) {
            return Ok(guest);
        }
        let Found::Alive(vmm) = self.find(machine).await? else { return Err(ProviderError::NotRunning) };
        let guest = self.door.reach(&self.run(machine).agent_socket(), within).await?;
        self.seats.keep_guest(machine, vmm.record().generation, guest.clone());
        Ok(guest)
    }

    async fn power_off(&self, plan: &MachinePlan, power: Power, progress: &Progress) -> Result<(), ProviderError> {
        let _seat = self.seats.take(&plan.id).await;
        if let Found::Alive(vmm) = self.find(&plan.id).await? {
            let begun = Instant::now();
            progress.tell(Report::Begun(Stage::PowerOff));
            if power == Power::OffGently {
                self.wake_to_power_off(plan, &vmm).await;
                self.ask_to_power_off(plan, &vmm).await;
            }
            vmm.kill().await.map_err(|error| host_refused("end the VMM", error))?;
            progress.tell(Report::Ended(StageTime::new(Stage::PowerOff, begun.elapsed())));
        }
        self.seats.forget_guest(&plan.id);
        match plan.root {
            RootFate::GivenUp => self.give_up_root(plan),
            RootFate::Kept => Lent::forget_own_ram(&self.lent_folder(plan))
                .map_err(|error| of_io("remove the machine's memory", &error)),
        }
    }

    /// Asks the guest and waits; whatever it does or does not, the VMM is ended afterwards.
    async fn ask_to_power_off(&self, plan: &MachinePlan, vmm: &Vmm) {
        let grace = plan.spec.deadlines.stop.unwrap_or(self.settings.stop_grace);
        let asked = async {
            self.guest(&plan.id, KNOCK).await?.power_off(grace).await?;
            Ok::<(), ProviderError>(())
        };
        match tokio::time::timeout(KNOCK, asked).await {
            Ok(Ok(())) => {
                if tokio::time::timeout(grace + LAST_BREATH, vmm.exited()).await.is_err() {
                    tracing::warn!(machine = %plan.id, "the guest did not power off; its plug is pulled");
                }
            }
            Ok(Err(error)) => tracing::warn!(machine = %plan.id, %error, "the guest cannot be asked to power off"),
            Err(_) => tracing::warn!(machine = %plan.id, "the guest does not answer; its plug is pulled"),
        }
    }

    fn off(&self, machine: &MachineId, ending: &machine_hypervisor::process::Ending) -> Ending {
        ending::of(&self.run(machine), ending)
    }
}

#[async_trait]
impl Provider for LocalProvider {
    async fn offers(&self) -> Result<Offer, ProviderError> {
        let ready = self.host.ready().await?;
        Ok(Offer {
            capacity: host::capacity()?,
            commands: vec![
                Command::Create,
                Command::Start,
                Command::Pause,
                Command::Resume,
                Command::Hibernate,
                Command::Stop,
                Command::Destroy,
            ],
            accelerator: ready.accelerator(),
        })
    }

    async fn prepare(&self, plan: &MachinePlan, progress: &Progress) -> Result<(), ProviderError> {
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Disk));
        self.make_folder(&plan.id)?;
        let disk = Layers::in_folder(&self.folder(&plan.id)).root();
        let template = Ground::Template(&plan.spec.template_digest);
        self.images.lay_over(template, &disk, Some(plan.spec.disk)).await?;
        progress.tell(Report::Ended(StageTime::new(Stage::Disk, begun.elapsed())));
        Ok(())
    }

    fn root_disk(&self, machine: &MachineId) -> Option<PathBuf> {
        Some(Layers::in_folder(&self.folder(machine)).top())
    }

    async fn bring_to(&self, plan: &MachinePlan, power: Power, progress: &Progress) -> Result<(), ProviderError> {
        match power {
            Power::Running if matches!(plan.from, State::Running | State::Paused) => self.go_on(plan).await,
            Power::Running => self.power_on(plan, progress).await,
            Power::Paused => self.pause(plan).await,
            Power::Hibernated => self.hibernate(plan, progress).await,
            Power::OffGently | Power::OffNow => self.power_off(plan, power, progress).await,
        }
    }

    async fn forget_saved(&self, machine: &MachineId) -> Result<(), ProviderError> {
        self.forget_saves(machine).await
    }

    async fn reach_guest(&self, machine: &MachineId) -> Result<Arc<dyn Guest>, ProviderError> {
        if let Some(guest) = self.seats.guest(machine) {
            return Ok(guest);
        }
        self.guest(machine, KNOCK).await
    }

    async fn observe(&self, machine: &MachineId, wait: Wait) -> Result<Observation, ProviderError> {
        match (self.find(machine).await?, wait) {
            (Found::Alive(vmm), Wait::Now) => Ok(Observation::On(vmm.record().generation)),
            (Found::Alive(vmm), Wait::UntilOff) => {
                let ended = vmm.exited().await.map_err(|error| host_refused("wait for the VMM", error))?;
                Ok(Observation::Off(Some(self.off(machine, &ended))))
            }
            (Found::Ended(ended), Wait::Now | Wait::UntilOff) => Ok(Observation::Off(Some(self.off(machine, &ended)))),
            (Found::Never, Wait::Now | Wait::UntilOff) if self.folder(machine).exists() => Ok(Observation::Off(None)),
            (Found::Never, Wait::Now | Wait::UntilOff) => Ok(Observation::Nothing),
        }
    }

    async fn usage(&self, machine: &MachineId, size: MiB) -> Result<Usage, ProviderError> {
        let Found::Alive(vmm) = self.find(machine).await? else { return Err(ProviderError::NotRunning) };
        let folder = self.folder(machine);
        let disk = Layers::in_folder(&folder).occupy();
        let backing = Lent::in_folder(&folder.join(restore::IMAGE)).backing();
        let used = blocking(move || process::usage(&vmm, &Memory { size, backing })).await?;
        let used = used.map_err(|error| of_io("look at the VMM's memory", &error))?;
        Ok(Usage {
            resident: used.resident,
            private: used.private,
            guest_private: used.guest_private,
            guest_shared: used.guest_shared,
            disk,
            cpu_ms: used.cpu_ms,
        })
    }

    async fn remove(&self, machine: &MachineId) -> Result<(), ProviderError> {
        let _seat = self.seats.take(machine).await;
        self.seats.forget_guest(machine);
        if let Found::Alive(vmm) = self.find(machine).await? {
            vmm.kill().await.map_err(|error| host_refused("end the VMM", error))?;
        }
        self.end_strays(machine).await?;
        self.unlaunched().remove(machine);
        match tokio::fs::remove_dir_all(self.folder(machine)).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(host_refused("remove the machine's folder", error)),
        }
    }

    async fn everything_ours(&self) -> Result<Vec<MachineId>, ProviderError> {
        let mut found = host::folders(&self.settings.machines)?;
        let running = self.strays()?;
        found.extend(running.iter().filter_map(|stray| stray.run.path().parent()?.file_name()?.to_str()?.parse().ok()));
        found.sort();
        found.dedup();
        Ok(found)
    }
}

impl LocalProvider {
    /// Makes the folder of a machine, and notes if it is new here.
    fn make_folder(&self, machine: &MachineId) -> Result<(), ProviderError> {
        let folder = self.folder(machine);
        let is_new = !folder.exists();
        host::make_private_folder(&folder)?;
        if is_new {
            self.unlaunched().insert(machine.clone());
        }
        Ok(())
    }

    fn unlaunched(&self) -> MutexGuard<'_, HashSet<MachineId>> {
        // Nothing that holds it can panic halfway: the set stays whole.
        self.unlaunched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends supervisors of a machine that are not on record: their server was killed right after it started
    /// them, and two VMMs must not meet at one disk.
    async fn end_strays(&self, machine: &MachineId) -> Result<(), ProviderError> {
        for stray in self.strays()?.iter().filter(|stray| stray.run == self.run(machine)) {
            tracing::warn!(machine = %machine, "ending a supervisor that is not on record");
            stray.end().await.map_err(|error| host_refused("end a stray supervisor", error))?;
        }
        Ok(())
    }

    fn strays(&self) -> Result<Vec<machine_hypervisor::process::Supervisor>, ProviderError> {
        supervisors(&self.settings.short).map_err(|error| host_refused("list processes", error))
    }
}

/// Work that waits for a disk, on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| host_refused("work on a thread", error))
}

fn remove_if_there(path: &Path) -> Result<(), ProviderError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(of_io("remove a file", &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An error of the host's files; a full disk is said as such.
fn of_io(tried: &str, error: &io::Error) -> ProviderError {
    match error.kind() {
        io::ErrorKind::StorageFull => ProviderError::DiskFull { tried: tried.to_owned() },
        _ => ProviderError::Host { tried: tried.to_owned(), detail: error.to_string() },
    }
}

/// An error of the host, with what stands behind it.
fn host_refused(tried: &str, error: impl std::error::Error) -> ProviderError {
    let mut detail = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        detail = format!("{detail}: {cause}");
        source = cause.source();
    }
    ProviderError::Host { tried: tried.to_owned(), detail }
}
