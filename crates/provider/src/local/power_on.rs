//! Powers a machine on: from its template's memory image, or by booting; then gives it its identity.
//!
//! ```text
//! first start ──image found or made──▶ restored ──answers──▶ wake_as ──▶ running
//!      │            └─ cannot be kept, or does not answer, twice ─┐
//!      └─ asked to boot, or its disk was used before ─────────────┴─▶ booted ──answers──▶ wake_as ──▶ running
//! hibernated ──▶ resumed (resume.rs) ──answers──▶ wake_as ──▶ running
//! ```
//! A machine whose disk was ever attached boots: an image is restored onto a fresh overlay alone. A start whose
//! root was given up is a first start. Until the guest answered `wake_as` nobody has used the machine, so a
//! restore that went wrong may throw its disk away.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use machine_core::State;
use machine_core::promise::awakening::{Awakening, FRESH_ENTROPY, Origin, SshHostKey};
use machine_core::promise::guest::{Guest, Identity};
use machine_core::promise::memory_image::Shape;
use machine_core::promise::provider::{MachinePlan, ProviderError};
use machine_core::spec::FirstStart;
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_hypervisor::driver::VmmStatus;
use machine_hypervisor::process::{Found, Vmm};

use super::boot::nic_of;
use super::memory_image::{Kept, Lent};
use super::shares::guest_mounts;
use super::{CONTROL, LocalProvider, host_refused, ssh_keys};

/// How often a restore is tried; before the second time the image is made anew.
const RESTORES: usize = 2;

/// A guest that answered and is nobody yet.
pub(super) struct Started {
    pub(super) guest: Arc<dyn Guest>,
    pub(super) origin: Origin,
    /// The kinds of SSH host keys that it shares with others.
    pub(super) ssh_host_keys: Vec<String>,
    /// Whether its root disk may be larger than its file system.
    pub(super) grows: bool,
    /// The image that it was made from just now.
    pub(super) kept: Option<Kept>,
}

/// Why a machine was not made from an image.
enum NoImage {
    /// A boot would meet the same.
    Hopeless(ProviderError),
    /// A boot may well do.
    Boot(ProviderError),
}

impl LocalProvider {
    pub(super) async fn power_on(&self, plan: &MachinePlan, progress: &Progress) -> Result<(), ProviderError> {
        let resumes = plan.from == State::Hibernated;
        let started = match self.find(&plan.id).await? {
            // One that is resumed can always be resumed anew.
            Found::Alive(vmm) if vmm.record().generation == plan.generation && !resumes => {
                self.take_up(plan, &vmm, progress).await?
            }
            Found::Alive(earlier) => {
                // It would hold the ports that this one wants.
                earlier.kill().await.map_err(|error| host_refused("end the earlier VMM", error))?;
                self.begin(plan, progress).await?
            }
            Found::Ended(_) | Found::Never => self.begin(plan, progress).await?,
        };
        let answered = Instant::now();
        progress.tell(Report::Begun(Stage::Agent));
        let awakening = self.awakening(plan, &started).await?;
        let woken = self.in_time(&plan.id, started.guest.wake_as(&awakening), self.boot_patience(plan)).await?;
        for hook in &woken.failed_hooks {
            tracing::warn!(machine = %plan.id, hook, "a resume hook failed");
            progress.tell(Report::Told(Stage::Agent, format!("a resume hook failed: {hook}")));
        }
        if resumes {
            self.keep_layer(plan).await?;
        }
        self.seats.keep_guest(&plan.id, plan.generation, started.guest);
        // Not before: it takes the processors that the guest's first moments need.
        started.kept.into_iter().for_each(|kept| self.make_spare_of(plan, kept));
        progress.tell(Report::Ended(StageTime::new(Stage::Agent, answered.elapsed())));
        Ok(())
    }

    /// Goes on with a launch of this generation that an earlier server, or an earlier try, left halfway.
    async fn take_up(&self, plan: &MachinePlan, vmm: &Vmm, progress: &Progress) -> Result<Started, ProviderError> {
        let begun = Instant::now();
        let refused = |error| host_refused("go on with the VMM", error);
        let ready = self.host.ready().await?;
        let control =
            vmm.control(ready.driver(), CONTROL).await.map_err(|error| host_refused("reach the VMM", error))?;
        let origin = if self.lent(plan).is_restored() { Origin::Image } else { Origin::Boot };
        let status = control.status().await.map_err(refused)?;
        if matches!(status, VmmStatus::Starting | VmmStatus::Paused | VmmStatus::Running) {
            match origin {
                Origin::Image => {
                    self.let_go(vmm, control.as_ref(), Some(plan.spec.disk)).await?;
                    self.attach(plan, control.as_ref()).await?;
                }
                Origin::Boot | Origin::Saved => self.attach_and_begin(plan, control.as_ref()).await?,
            }
        }
        let (guest, ()) =
            tokio::try_join!(self.first_answer(&plan.id, vmm, self.boot_patience(plan)), self.network_is_ready(plan))?;
        let stage = if origin == Origin::Image { Stage::Restore } else { Stage::Boot };
        progress.tell(Report::Ended(StageTime::new(stage, begun.elapsed())));
        let ssh_host_keys =
            if origin == Origin::Image { Lent::ssh_host_keys(&self.lent_folder(plan)) } else { Vec::new() };
        Ok(Started { guest, origin, ssh_host_keys, grows: origin == Origin::Image, kept: None })
    }

    async fn begin(&self, plan: &MachinePlan, progress: &Progress) -> Result<Started, ProviderError> {
        match plan.from {
            State::Hibernated => self.resume(plan, progress).await,
            State::Absent | State::Stopped | State::Running | State::Paused | State::Failed | State::Destroyed => {
                self.start(plan, progress).await
            }
        }
    }

    async fn start(&self, plan: &MachinePlan, progress: &Progress) -> Result<Started, ProviderError> {
        self.check_ports(plan).await?;
        self.check_folders(plan).await?;
        self.renew_root(plan).await?;
        if plan.spec.first_start == FirstStart::Image && !self.run(&plan.id).plan_file().exists() {
            match self.by_image(plan, progress).await {
                Ok(started) => return Ok(started),
                Err(NoImage::Hopeless(error)) => return Err(error),
                Err(NoImage::Boot(error)) => {
                    tracing::warn!(machine = %plan.id, %error, "no memory image; booting");
                    progress.tell(Report::Told(Stage::Boot, format!("no memory image: {error}; booting")));
                    self.start_over(plan).await?;
                }
            }
        }
        self.boot(plan, progress).await
    }

    async fn by_image(&self, plan: &MachinePlan, progress: &Progress) -> Result<Started, NoImage> {
        let mut last = None;
        for _ in 0..RESTORES {
            let authorities = self.authorities_for(plan).await.map_err(NoImage::Hopeless)?;
            let recipe = self.recipe(&Shape::of(&plan.spec), plan.spec.disk, authorities).await;
            let recipe = recipe.map_err(NoImage::Hopeless)?;
            let kept = self.image_of(recipe, progress).await.map_err(hopeless_or_not)?;
            match self.restore(plan, &kept, progress).await {
                Ok(started) => return Ok(started),
                // The image is not to blame.
                Err(
                    error
                    @ (ProviderError::Network(_) | ProviderError::Folder { .. } | ProviderError::NoSharing { .. }),
                ) => {
                    return Err(NoImage::Hopeless(error));
                }
                Err(error @ ProviderError::DiskFull { .. }) => return Err(NoImage::Boot(error)),
                Err(error) => {
                    tracing::warn!(machine = %plan.id, image = %kept.id, %error, "a memory image does not run; it is removed");
                    progress.tell(Report::Told(Stage::Restore, format!("the memory image does not run: {error}")));
                    self.distrust(&kept);
                    self.start_over(plan).await.map_err(NoImage::Hopeless)?;
                    last = Some(error);
                }
            }
        }
        Err(NoImage::Boot(last.unwrap_or(ProviderError::NotRunning)))
    }

    /// The one message that makes the guest this machine. Time and chance are taken last.
    async fn awakening(&self, plan: &MachinePlan, started: &Started) -> Result<Awakening, ProviderError> {
        let certificate_authorities = self.authorities_for(plan).await?;
        let identity = Identity { envs: self.environment_of(plan), ..plan.identity.clone() };
        let ssh_host_keys: Vec<SshHostKey> = match started.ssh_host_keys.is_empty() {
            true => Vec::new(),
            false => vec![ssh_keys::fresh(&plan.identity.hostname)?],
        };
        let mut entropy = [0; FRESH_ENTROPY];
        getrandom::fill(&mut entropy).map_err(|error| host_refused("get random numbers", error))?;
        Ok(Awakening {
            machine: plan.id.clone(),
            generation: plan.generation,
            origin: started.origin,
            identity,
            entropy,
            mac: nic_of(plan).map(|nic| nic.mac.0),
            address: None,
            ssh_host_keys,
            certificate_authorities,
            root_bytes: started.grows.then(|| plan.spec.disk.bytes()),
            mounts: guest_mounts(&plan.spec.mounts)?,
            root: plan.spec.root,
            now: Timestamp::now(),
        })
    }

    /// An image that did not run serves nobody again.
    fn distrust(&self, kept: &Kept) {
        if let Err(error) = self.store.remove(&kept.id) {
            tracing::warn!(image = %kept.id, %error, "cannot remove a memory image");
        }
    }
}

/// What a boot would not help against.
fn hopeless_or_not(error: ProviderError) -> NoImage {
    match error {
        ProviderError::Image(_)
        | ProviderError::Died { .. }
        | ProviderError::Silent { .. }
        | ProviderError::NotCapable { .. }
        | ProviderError::Network(_)
        | ProviderError::Folder { .. }
        | ProviderError::NoSharing { .. }
        | ProviderError::NotRunning => NoImage::Hopeless(error),
        ProviderError::Guest(_)
        | ProviderError::WarmUp { .. }
        | ProviderError::Saved { .. }
        | ProviderError::NoMemoryImage { .. }
        | ProviderError::DiskFull { .. }
        | ProviderError::Host { .. } => NoImage::Boot(error),
    }
}
