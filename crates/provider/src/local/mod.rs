//! Holds machines on this host: one folder each, one VMM each. Turns a `MachinePlan` (what) into a
//! `BootPlan` (where) and asks the hypervisor crate to run it.
//!
//! ```text
//! <machines>/<id>/root.qcow2            the root disk, over the template's
//! <machines>/<id>/run/                  sockets, logs and records of its VMM
//! ```

mod boot;
mod ending;
mod host;
mod seats;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use machine_core::promise::guest::{Guest, GuestDoor};
use machine_core::promise::image_source::ImageSource;
use machine_core::promise::provider::{Ending, MachinePlan, Observation, Offer, Power, Provider, ProviderError, Wait};
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_core::{Command, MachineId};
use machine_hypervisor::boot_plan::RunFolder;
use machine_hypervisor::process::{Found, Vmm, supervisors};

pub use host::HostSettings;
use host::LocalHost;
use seats::Seats;

/// How much of a boot log an error shows, in bytes.
const LOG_TAIL: usize = 2048;
/// An agent that is there answers well within this.
const KNOCK: Duration = Duration::from_secs(5);
/// Beyond the guest's own grace, what a VMM needs to end.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// The machines of one installation on this host.
pub struct LocalProvider {
    settings: HostSettings,
    host: LocalHost,
    images: Arc<dyn ImageSource>,
    door: Arc<dyn GuestDoor>,
    seats: Seats,
}

impl LocalProvider {
    /// The machines below `settings.machines`.
    #[must_use]
    pub fn new(settings: HostSettings, images: Arc<dyn ImageSource>, door: Arc<dyn GuestDoor>) -> Self {
        let host = LocalHost::new(settings.clone());
        Self { settings, host, images, door, seats: Seats::default() }
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
        if let Some(guest) = self.seats.guest(machine) {
            return Ok(guest);
        }
        let guest = self.door.reach(&self.run(machine).agent_socket(), within).await?;
        self.seats.keep_guest(machine, guest.clone());
        Ok(guest)
    }

    async fn power_off(&self, plan: &MachinePlan, power: Power, progress: &Progress) -> Result<(), ProviderError> {
        let _seat = self.seats.take(&plan.id).await;
        let Found::Alive(vmm) = self.find(&plan.id).await? else {
            self.seats.forget_guest(&plan.id);
            return Ok(());
        };
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::PowerOff));
        if power == Power::OffGently {
            self.ask_to_power_off(plan, &vmm).await;
        }
        self.seats.forget_guest(&plan.id);
        vmm.kill().await.map_err(|error| host_refused("end the VMM", error))?;
        progress.tell(Report::Ended(StageTime::new(Stage::PowerOff, begun.elapsed())));
        Ok(())
    }

    /// Asks the guest and waits; whatever it does or does not, the VMM is ended afterwards.
    async fn ask_to_power_off(&self, plan: &MachinePlan, vmm: &Vmm) {
        let grace = self.settings.stop_grace;
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
            commands: vec![Command::Create, Command::Start, Command::Stop, Command::Destroy],
            accelerator: ready.accelerator(),
        })
    }

    async fn prepare(&self, plan: &MachinePlan, progress: &Progress) -> Result<(), ProviderError> {
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Disk));
        host::make_private_folder(&self.folder(&plan.id))?;
        let disk = self.folder(&plan.id).join(boot::ROOT_DISK);
        self.images.lay_over(&plan.spec.template_digest, &disk, plan.spec.disk).await?;
        progress.tell(Report::Ended(StageTime::new(Stage::Disk, begun.elapsed())));
        Ok(())
    }

    async fn bring_to(&self, plan: &MachinePlan, power: Power, progress: &Progress) -> Result<(), ProviderError> {
        match power {
            Power::Running => self.power_on(plan, progress).await,
            Power::OffGently | Power::OffNow => self.power_off(plan, power, progress).await,
        }
    }

    async fn reach_guest(&self, machine: &MachineId) -> Result<Arc<dyn Guest>, ProviderError> {
        if let Some(guest) = self.seats.guest(machine) {
            return Ok(guest);
        }
        match self.find(machine).await? {
            Found::Alive(_) => self.guest(machine, KNOCK).await,
            Found::Ended(_) | Found::Never => Err(ProviderError::NotRunning),
        }
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

    async fn remove(&self, machine: &MachineId) -> Result<(), ProviderError> {
        let _seat = self.seats.take(machine).await;
        self.seats.forget_guest(machine);
        if let Found::Alive(vmm) = self.find(machine).await? {
            vmm.kill().await.map_err(|error| host_refused("end the VMM", error))?;
        }
        self.end_strays(machine).await?;
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
