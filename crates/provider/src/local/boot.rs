//! Powers a machine on: launch, wait for the agent, give it its identity.
//!
//! ```text
//! off ──launch──▶ VMM on record ──agent answers──▶ reached ──wake_as──▶ running
//!                      └── VMM ends: Died          └── deadline: Silent
//! ```

use std::num::NonZeroU8;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use machine_core::promise::guest::{Guest, GuestError};
use machine_core::promise::image_source::BootParts;
use machine_core::promise::provider::{MachinePlan, ProviderError};
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_hypervisor::boot_plan::{BootPlan, Link, MacAddress, Nic, RootDisk};
use machine_hypervisor::launch_plan::LaunchPlan;
use machine_hypervisor::process::{Found, LaunchError, Vmm};

use super::{LOG_TAIL, LocalProvider, ending, host_refused};

/// The root disk's name in a machine's folder.
pub(super) const ROOT_DISK: &str = "root.qcow2";

impl LocalProvider {
    pub(super) async fn power_on(&self, plan: &MachinePlan, progress: &Progress) -> Result<(), ProviderError> {
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Boot));
        let vmm = self.running_vmm(plan).await?;
        let guest = self.first_answer(plan, &vmm).await?;
        progress.tell(Report::Ended(StageTime::new(Stage::Boot, begun.elapsed())));

        let answered = Instant::now();
        progress.tell(Report::Begun(Stage::Agent));
        let mut identity = plan.identity.clone();
        identity.now = Timestamp::now();
        guest.wake_as(&identity).await?;
        self.seats.keep_guest(&plan.id, guest);
        progress.tell(Report::Ended(StageTime::new(Stage::Agent, answered.elapsed())));
        Ok(())
    }

    /// The VMM of this launch; one of an earlier launch is ended first.
    async fn running_vmm(&self, plan: &MachinePlan) -> Result<Vmm, ProviderError> {
        let seat = self.seats.take(&plan.id).await;
        if let Found::Alive(vmm) = self.find(&plan.id).await? {
            if vmm.record().generation == plan.generation {
                return Ok(vmm);
            }
            vmm.kill().await.map_err(|error| host_refused("end the earlier VMM", error))?;
        }
        self.end_strays(&plan.id).await?;
        self.seats.forget_guest(&plan.id);
        let launch = self.launch_plan(plan).await?;
        let program = self.settings.program.clone();
        let launched = tokio::spawn(async move {
            let _until_on_record = seat;
            Vmm::launch(&launch, &program).await
        });
        launched.await.map_err(|error| host_refused("launch the VMM", error))?.map_err(not_launched)
    }

    async fn launch_plan(&self, plan: &MachinePlan) -> Result<LaunchPlan, ProviderError> {
        let ready = self.host.ready().await?;
        let parts = self.images.parts(&plan.spec.template_digest).await?;
        let boot = self.boot_plan(plan, parts)?;
        ready.plan(&boot)
    }

    fn boot_plan(&self, plan: &MachinePlan, parts: BootParts) -> Result<BootPlan, ProviderError> {
        let too_many = || ProviderError::Host {
            tried: "plan the boot".to_owned(),
            detail: format!("processors out of range: {}", plan.spec.cpus),
        };
        let cpus = u8::try_from(plan.spec.cpus).ok().and_then(NonZeroU8::new);
        Ok(BootPlan {
            machine: plan.id.clone(),
            generation: plan.generation,
            kernel: parts.kernel,
            initramfs: parts.initramfs,
            parameters: Vec::new(),
            root: RootDisk { overlay: self.disk(plan)? },
            cpus: cpus.ok_or_else(too_many)?,
            memory: plan.spec.memory,
            nic: Nic { mac: mac_of(plan.id.as_str()), link: Link::UserRestricted },
            run: self.run(&plan.id),
        })
    }

    fn disk(&self, plan: &MachinePlan) -> Result<PathBuf, ProviderError> {
        let disk = self.folder(&plan.id).join(ROOT_DISK);
        if disk.exists() {
            return Ok(disk);
        }
        Err(ProviderError::Host { tried: "find the root disk".to_owned(), detail: "it is gone".to_owned() })
    }

    /// The agent's first answer, or how the machine ended before it.
    async fn first_answer(&self, plan: &MachinePlan, vmm: &Vmm) -> Result<Arc<dyn Guest>, ProviderError> {
        let within = self.settings.boot_timeout;
        let socket = self.run(&plan.id).agent_socket();
        let reached = tokio::select! {
            reached = self.door.reach(&socket, within) => reached,
            ended = vmm.exited() => return Err(self.died(plan, ended)),
        };
        match reached {
            Ok(guest) => Ok(guest),
            Err(GuestError::Late(_)) => Err(ProviderError::Silent { seconds: within.as_secs(), log: self.tail(plan) }),
            // A VMM that just ended takes its socket with it: say that, if so.
            Err(error) => match tokio::time::timeout(Duration::from_millis(500), vmm.exited()).await {
                Ok(ended) => Err(self.died(plan, ended)),
                Err(_) => Err(error.into()),
            },
        }
    }

    fn died(&self, plan: &MachinePlan, ended: std::io::Result<machine_hypervisor::process::Ending>) -> ProviderError {
        match ended {
            Ok(ended) => {
                let detail = ending::of(&self.run(&plan.id), &ended).detail;
                ProviderError::Died { detail: format!("{detail}; its boot log ends with:\n{}", self.tail(plan)) }
            }
            Err(error) => host_refused("wait for the VMM", error),
        }
    }

    fn tail(&self, plan: &MachinePlan) -> String {
        let log = self.boot_log(&plan.id, LOG_TAIL).unwrap_or_default();
        let log = ending::readable(&log);
        if log.is_empty() { "(nothing: the kernel said no word)".to_owned() } else { log }
    }
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

/// A locally administered address that follows from the id: the same at every start.
fn mac_of(id: &str) -> MacAddress {
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
