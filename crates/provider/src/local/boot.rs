//! Boots a machine: launch, wait for the agent.
//!
//! ```text
//! off ──launch──▶ VMM on record ──agent answers──▶ reached
//!                      └── VMM ends: Died          └── deadline: Silent
//! ```

use std::num::NonZeroU8;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use machine_core::MachineId;
use machine_core::machine::Generation;
use machine_core::network::NetworkMode;
use machine_core::promise::awakening::Origin;
use machine_core::promise::guest::{Guest, GuestError};
use machine_core::promise::provider::{MachinePlan, ProviderError};
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_hypervisor::boot_plan::{Backing, BootPlan, MacAddress, Memory, Nic, RootDisk, Share, Start};
use machine_hypervisor::launch_plan::LaunchPlan;
use machine_hypervisor::process::{Found, LaunchError, Vmm};
use tokio::sync::OwnedSemaphorePermit;

use super::layers::Layers;
use super::memory_image::{Lent, kernel_of};
use super::power_on::Started;
use super::{CONTROL, LOG_TAIL, LocalProvider, ending, host_refused, of_io};

/// What differs between one launch and another on this host.
pub(super) struct Built<'a> {
    pub(super) machine: &'a MachineId,
    pub(super) generation: Generation,
    pub(super) cpus: u32,
    pub(super) memory: Memory,
    pub(super) start: Start,
    pub(super) disk: PathBuf,
    pub(super) nic: Option<Nic>,
    pub(super) shares: Vec<Share>,
}

impl LocalProvider {
    /// The machine, booted and answering.
    pub(super) async fn boot(&self, plan: &MachinePlan, progress: &Progress) -> Result<Started, ProviderError> {
        let _permit = self.permit().await?;
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Boot));
        let ready = self.host.ready().await?;
        let parts = self.images.parts(&plan.spec.template_digest).await?;
        let boot = self.boot_plan(Built {
            machine: &plan.id,
            generation: plan.generation,
            cpus: plan.spec.cpus,
            memory: Memory { size: plan.spec.memory, backing: fresh(plan) },
            start: Start::Boot(kernel_of(&parts)),
            disk: self.disk(plan)?,
            nic: nic_of(plan),
            shares: self.shares(plan),
        })?;
        // Its own memory from here on; the image's disk stays under its own.
        Lent::keep_disk_alone(&self.lent_folder(plan)).map_err(|error| of_io("give the memory image back", &error))?;
        let vmm = self.launch(self.with_companions(plan, ready.plan(&boot)?)?).await?;
        let (network, shares) = (self.network_is_ready(plan), self.attached_and_running(&vmm, plan));
        let (guest, (), ()) =
            tokio::try_join!(self.first_answer(&plan.id, &vmm, self.boot_patience(plan)), network, shares)?;
        progress.tell(Report::Ended(StageTime::new(Stage::Boot, begun.elapsed())));
        Ok(Started { guest, origin: Origin::Boot, ssh_host_keys: Vec::new(), grows: false, kept: None })
    }

    /// A launch of a machine, with what its VMM needs beside it.
    pub(super) fn with_companions(&self, plan: &MachinePlan, launch: LaunchPlan) -> Result<LaunchPlan, ProviderError> {
        let companions = self.companions(plan)?.into_iter().chain(self.share_companions(plan)?).collect();
        Ok(LaunchPlan { companions, ..launch })
    }

    async fn attached_and_running(&self, vmm: &Vmm, plan: &MachinePlan) -> Result<(), ProviderError> {
        if plan.spec.mounts.is_empty() {
            return Ok(());
        }
        let ready = self.host.ready().await?;
        let control = vmm.control(ready.driver(), CONTROL).await;
        let control = control.map_err(|error| host_refused("reach the VMM", error))?;
        self.attach_and_begin(plan, control.as_ref()).await
    }

    /// Starts a VMM; one of an earlier launch is ended first. A launch is not taken back halfway.
    pub(super) async fn launch(&self, launch: LaunchPlan) -> Result<Vmm, ProviderError> {
        let machine = launch.machine.clone();
        let seat = self.seats.take(&machine).await;
        if let Found::Alive(vmm) = self.find(&machine).await? {
            vmm.kill().await.map_err(|error| host_refused("end the earlier VMM", error))?;
        }
        if !self.unlaunched().remove(&machine) {
            self.end_strays(&machine).await?;
        }
        self.seats.forget_guest(&machine);
        let program = self.settings.program.clone();
        let launched = tokio::spawn(async move {
            let _until_on_record = seat;
            Vmm::launch(&launch, &program).await
        });
        launched.await.map_err(|error| host_refused("launch the VMM", error))?.map_err(not_launched)
    }

    /// Few guests start at a time: more would only make each other late.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, ProviderError> {
        let permit = self.starting.clone().acquire_owned().await;
        permit.map_err(|error| host_refused("wait for other starts", error))
    }

    pub(super) fn boot_plan(&self, built: Built<'_>) -> Result<BootPlan, ProviderError> {
        let too_many = || ProviderError::Host {
            tried: "plan the boot".to_owned(),
            detail: format!("processors out of range: {}", built.cpus),
        };
        let cpus = u8::try_from(built.cpus).ok().and_then(NonZeroU8::new);
        Ok(BootPlan {
            machine: built.machine.clone(),
            generation: built.generation,
            start: built.start,
            root: RootDisk { overlay: built.disk },
            cpus: cpus.ok_or_else(too_many)?,
            memory: built.memory,
            nic: built.nic,
            shares: built.shares,
            run: self.run(built.machine),
        })
    }

    fn disk(&self, plan: &MachinePlan) -> Result<PathBuf, ProviderError> {
        let disk = Layers::in_folder(&self.folder(&plan.id)).top();
        if disk.exists() {
            return Ok(disk);
        }
        Err(ProviderError::Host { tried: "find the root disk".to_owned(), detail: "it is gone".to_owned() })
    }

    /// How long a machine's agent may take to answer.
    pub(super) fn boot_patience(&self, plan: &MachinePlan) -> Duration {
        plan.spec.deadlines.boot.unwrap_or(self.settings.boot_timeout)
    }

    /// The agent's first answer, or how the machine ended before it.
    pub(super) async fn first_answer(
        &self,
        machine: &MachineId,
        vmm: &Vmm,
        within: Duration,
    ) -> Result<Arc<dyn Guest>, ProviderError> {
        let socket = self.run(machine).agent_socket();
        let reached = tokio::select! {
            reached = self.door.reach(&socket, within) => reached,
            ended = vmm.exited() => return Err(self.died(machine, ended)),
        };
        match reached {
            Ok(guest) => Ok(guest),
            Err(GuestError::Late(_)) => {
                Err(ProviderError::Silent { seconds: within.as_secs(), log: self.tail(machine) })
            }
            // A VMM that just ended takes its socket with it: say that, if so.
            Err(error) => match tokio::time::timeout(Duration::from_millis(500), vmm.exited()).await {
                Ok(ended) => Err(self.died(machine, ended)),
                Err(_) => Err(error.into()),
            },
        }
    }

    /// What a guest that answered is asked before it is used: it has as long as a boot.
    pub(super) async fn in_time<T>(
        &self,
        machine: &MachineId,
        asked: impl Future<Output = Result<T, GuestError>>,
        within: Duration,
    ) -> Result<T, ProviderError> {
        match tokio::time::timeout(within, asked).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(ProviderError::Silent { seconds: within.as_secs(), log: self.tail(machine) }),
        }
    }

    fn died(&self, machine: &MachineId, ended: std::io::Result<machine_hypervisor::process::Ending>) -> ProviderError {
        match ended {
            Ok(ended) => {
                let detail = ending::of(&self.run(machine), &ended).detail;
                ProviderError::Died { detail: format!("{detail}; its boot log ends with:\n{}", self.tail(machine)) }
            }
            Err(error) => host_refused("wait for the VMM", error),
        }
    }

    fn tail(&self, machine: &MachineId) -> String {
        let log = self.boot_log(machine, LOG_TAIL).unwrap_or_default();
        let log = ending::readable(&log);
        if log.is_empty() { "(nothing: the kernel said no word)".to_owned() } else { log }
    }
}

/// Memory of its own; such that others may see it, if others serve it folders.
fn fresh(plan: &MachinePlan) -> Backing {
    if plan.spec.mounts.is_empty() { Backing::Anonymous } else { Backing::Shared }
}

fn not_launched(error: LaunchError) -> ProviderError {
    match error {
        LaunchError::Died(died) => ProviderError::Died { detail: died.to_string() },
        LaunchError::AlreadyRuns { .. }
        | LaunchError::Unknown(_)
        | LaunchError::Prepare { .. }
        | LaunchError::Spawn { .. }
        | LaunchError::Supervisor { .. }
        | LaunchError::Control(_) => host_refused("launch the VMM", error),
    }
}

/// The address of a guest that is nobody: it never meets another, and whoever it becomes has one of its own.
const NOBODYS_MAC: MacAddress = MacAddress([0x52, 0x54, 0, 0, 0, 1]);

/// The card of a guest that is nobody; nobody is at its other end.
pub(super) fn nobodys_nic(network: NetworkMode) -> Option<Nic> {
    match network {
        NetworkMode::User => Some(Nic { mac: NOBODYS_MAC }),
        NetworkMode::None => None,
    }
}

/// A machine's card.
pub(super) fn nic_of(plan: &MachinePlan) -> Option<Nic> {
    match plan.spec.network.mode {
        NetworkMode::User => Some(Nic { mac: mac_of(plan.id.as_str()) }),
        NetworkMode::None => None,
    }
}

/// A locally administered address that follows from the id: the same at every start.
pub(super) fn mac_of(id: &str) -> MacAddress {
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    MacAddress([0x52, a ^ e, b, c, d, e])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_stable_unicast_and_locally_administered() {
        let MacAddress(mac) = mac_of("m0123456789abcdefghij");
        assert_eq!(MacAddress(mac), mac_of("m0123456789abcdefghij"));
        assert_ne!(MacAddress(mac), mac_of("m0123456789abcdefghik"));
        assert_eq!(mac[0] & 0b11, 0b10);
    }
}
