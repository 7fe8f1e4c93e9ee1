//! Pauses a machine, and hibernates it: its memory goes to the disk, then its VMM ends.
//!
//! ```text
//! running ──pause──▶ paused ──state, pages: written aside, synced──▶ saved ──VMM ended──▶ hibernated
//!    ▲                 │                                               │
//!    └──── go on ◀─────┴──── taken back: what was saved is forgotten ◀─┘
//! ```
//! The guest does not run between the save and its VMM's end, so what is saved is what there was last. Its agent is
//! saved in the middle of a conversation with us; whoever greets it later ends that one.

use std::time::Instant;

use jiff::Timestamp;
use machine_core::promise::memory_image::Shape;
use machine_core::promise::provider::{MachinePlan, ProviderError, SavedFault};
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_core::{MachineId, State};
use machine_hypervisor::boot_plan::{Backing, Memory};
use machine_hypervisor::driver::{Control, ControlError};
use machine_hypervisor::ingredients::Ingredients;
use machine_hypervisor::memory::MemoryError;
use machine_hypervisor::process::{Found, Vmm};

use super::layers::Layers;
use super::memory_image::Lent;
use super::saved::{Base, Facts, Saves};
use super::{CONTROL, KNOCK, LocalProvider, blocking, host_refused, of_io};

impl LocalProvider {
    /// Its processors stop.
    pub(super) async fn pause(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        self.forget_saves(&plan.id).await?;
        let Found::Alive(vmm) = self.find(&plan.id).await? else { return Err(ProviderError::NotRunning) };
        self.control(&vmm).await?.pause().await.map_err(|error| host_refused("pause the VMM", error))
    }

    /// It goes on from where it stopped. What was saved meanwhile is of no use then, and goes first.
    pub(super) async fn go_on(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        self.forget_saves(&plan.id).await?;
        let Found::Alive(vmm) = self.find(&plan.id).await? else { return Err(ProviderError::NotRunning) };
        self.control(&vmm).await?.resume().await.map_err(|error| host_refused("let the VMM go on", error))?;
        // It saw no time pass.
        let told =
            async { Ok::<(), ProviderError>(self.guest(&plan.id, KNOCK).await?.set_clock(Timestamp::now()).await?) };
        match tokio::time::timeout(KNOCK, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(machine = %plan.id, %error, "the guest's clock is behind"),
            Err(_) => tracing::warn!(machine = %plan.id, "the guest does not answer; its clock is behind"),
        }
        Ok(())
    }

    /// One that is paused can write what it has not written only if it runs for that.
    pub(super) async fn wake_to_power_off(&self, plan: &MachinePlan, vmm: &Vmm) {
        if plan.from != State::Paused {
            return;
        }
        let woken = async {
            let control = self.control(vmm).await?;
            control.resume().await.map_err(|error| host_refused("let the VMM go on", error))
        };
        if let Err(error) = woken.await {
            tracing::warn!(machine = %plan.id, %error, "it was paused, and does not go on");
        }
    }

    /// Its memory is on the disk, and its VMM gone. One that is being resumed goes back to what was saved.
    pub(super) async fn hibernate(&self, plan: &MachinePlan, progress: &Progress) -> Result<(), ProviderError> {
        let saved = self.saved_launch(plan).await?;
        match self.find(&plan.id).await? {
            Found::Alive(vmm) => {
                let is_saved = plan.from == State::Hibernated || saved == Some(vmm.record().generation);
                if !is_saved {
                    self.save(plan, &vmm, progress).await?;
                }
                let _seat = self.seats.take(&plan.id).await;
                vmm.kill().await.map_err(|error| host_refused("end the VMM", error))?;
            }
            Found::Ended(_) | Found::Never if plan.from == State::Hibernated || saved == Some(plan.generation) => {}
            Found::Ended(_) | Found::Never => return Err(ProviderError::NotRunning),
        }
        self.seats.forget_guest(&plan.id);
        Ok(())
    }

    /// The launch whose memory is saved here, if any is and can be read.
    async fn saved_launch(
        &self,
        plan: &MachinePlan,
    ) -> Result<Option<machine_core::machine::Generation>, ProviderError> {
        let saves = self.saves(&plan.id);
        let found = blocking(move || saves.open()).await?;
        Ok(found.ok().flatten().map(|saved| saved.manifest.generation))
    }

    async fn save(&self, plan: &MachinePlan, vmm: &Vmm, progress: &Progress) -> Result<(), ProviderError> {
        if !plan.spec.mounts.is_empty() {
            let what = "it sees folders of the host, whose state this version cannot save".to_owned();
            return Err(ProviderError::Saved { what, fault: SavedFault::Unsavable });
        }
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Save));
        let hypervisor = self.hypervisor_facts(plan).await?;
        let saves = self.saves(&plan.id);
        let saving =
            blocking(move || saves.begin()).await?.map_err(|error| of_io("begin to save the memory", &error))?;
        let control = self.control(vmm).await?;
        control.pause().await.map_err(|error| host_refused("pause the VMM", error))?;
        control.save_state(&saving.state()).await.map_err(not_saved)?;
        let lent = self.lent(plan);
        let memory = Memory { size: plan.spec.memory, backing: lent.backing() };
        let pages = vmm.save_pages(&memory, &saving.pages()).await.map_err(not_written)?;
        let (base, disk) = (base_of(&memory.backing), Layers::in_folder(&self.folder(&plan.id)));
        let (machine, generation) = (plan.id.clone(), vmm.record().generation);
        tracing::info!(machine = %plan.id, pages = pages.pages, bytes = pages.bytes, "saved");
        let saved_at = Timestamp::now();
        let facts = Facts { machine, generation, saved_at, disk: disk.top_name(), base, pages, hypervisor };
        let kept = blocking(move || sync_below(&lent, &disk).and_then(|()| saving.keep(facts))).await?;
        kept.map_err(|error| of_io("keep the saved memory", &error))?;
        progress.tell(Report::Ended(StageTime::new(Stage::Save, begun.elapsed())));
        Ok(())
    }

    /// On what the saved state depends, as this machine was launched.
    pub(super) async fn hypervisor_facts(&self, plan: &MachinePlan) -> Result<Ingredients, ProviderError> {
        let ready = self.host.ready().await?;
        let parts = self.images.parts(&plan.spec.template_digest).await?;
        let shape = Shape::of(&plan.spec);
        ready.ingredients(&self.builder_plan(&plan.id, &shape, &parts, std::path::Path::new("/"))?)
    }

    pub(super) async fn control(&self, vmm: &Vmm) -> Result<Box<dyn Control>, ProviderError> {
        let ready = self.host.ready().await?;
        vmm.control(ready.driver(), CONTROL).await.map_err(|error| host_refused("reach the VMM", error))
    }

    pub(super) fn saves(&self, machine: &MachineId) -> Saves {
        Saves::in_folder(&self.folder(machine))
    }

    pub(super) async fn forget_saves(&self, machine: &MachineId) -> Result<(), ProviderError> {
        let saves = self.saves(machine);
        blocking(move || saves.forget()).await?.map_err(|error| of_io("forget the saved memory", &error))
    }
}

/// What the saved memory stands on must be on the disk as well. The guest's own writes are: the VMM flushed them when
/// it paused.
fn sync_below(lent: &Lent, disk: &Layers) -> std::io::Result<()> {
    for path in [&lent.ram, &lent.disk].into_iter().filter(|path| path.exists()) {
        std::fs::File::open(path)?.sync_all()?;
    }
    std::fs::File::open(disk.top())?.sync_all()
}

fn base_of(backing: &Backing) -> Base {
    match backing {
        Backing::Image(_) => Base::Image,
        Backing::Anonymous | Backing::Shared | Backing::Kept(_) => Base::Zeros,
    }
}

fn not_saved(error: ControlError) -> ProviderError {
    match error {
        ControlError::DiskFull { .. } => ProviderError::DiskFull { tried: "save the guest's state".to_owned() },
        ControlError::Connect { .. }
        | ControlError::Closed { .. }
        | ControlError::Silent { .. }
        | ControlError::Refused { .. }
        | ControlError::NotSaved { .. }
        | ControlError::NotLoaded { .. }
        | ControlError::Garbled { .. } => host_refused("save the guest's state", error),
    }
}

/// What a supervisor said to a wish about its VMM's memory.
pub(super) fn not_written(error: MemoryError) -> ProviderError {
    match error {
        MemoryError::DiskFull { .. } => ProviderError::DiskFull { tried: "save the guest's memory".to_owned() },
        MemoryError::Damaged { what, .. } => {
            ProviderError::Saved { what: format!("pages: {what}"), fault: SavedFault::Damaged }
        }
        MemoryError::Unreachable { .. } => {
            ProviderError::Saved { what: error.to_string(), fault: SavedFault::Unsavable }
        }
        MemoryError::Host(_) => host_refused("reach the guest's memory", error),
    }
}
