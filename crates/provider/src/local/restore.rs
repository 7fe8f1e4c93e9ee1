//! Starts a machine on its template's memory image: lends it the parts, lays its disk over the image's, and
//! lets the VMM load the state while the agent is already being called.

use std::path::PathBuf;
use std::time::Instant;

use machine_core::MiB;
use machine_core::promise::awakening::Origin;
use machine_core::promise::image_source::Ground;
use machine_core::promise::provider::{MachinePlan, ProviderError};
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_hypervisor::boot_plan::{Memory, Start};
use machine_hypervisor::driver::Control;
use machine_hypervisor::process::Vmm;

use super::boot::{Built, nic_of};
use super::layers::Layers;
use super::memory_image::{Kept, Lent};
use super::power_on::Started;
use super::{CONTROL, LocalProvider, blocking, host_refused, of_io, remove_if_there};

/// The folder of a machine's own names of its image's parts.
pub(super) const IMAGE: &str = "image";

impl LocalProvider {
    /// The machine, restored and answering, but nobody yet.
    pub(super) async fn restore(
        &self,
        plan: &MachinePlan,
        kept: &Kept,
        progress: &Progress,
    ) -> Result<Started, ProviderError> {
        let _permit = self.permit().await?;
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Restore));
        let lent = self.lend(plan, kept).await?;
        let disk = Layers::in_folder(&self.folder(&plan.id)).root();
        remove_if_there(&disk)?;
        self.images.lay_over(Ground::Frozen(&lent.disk), &disk, None).await?;
        let ready = self.host.ready().await?;
        let boot = self.boot_plan(Built {
            machine: &plan.id,
            generation: plan.generation,
            cpus: plan.spec.cpus,
            memory: Memory { size: plan.spec.memory, backing: lent.backing() },
            start: Start::Saved { state: lent.state },
            disk,
            nic: nic_of(plan),
            shares: self.shares(plan),
        })?;
        let vmm = self.launch(self.with_companions(plan, ready.plan(&boot)?)?).await?;
        let larger = (plan.spec.disk > kept.manifest.key.disk).then_some(plan.spec.disk);
        let running = self.loaded_and_running(plan, &vmm, larger);
        let network = self.network_is_ready(plan);
        let (guest, (), ()) =
            tokio::try_join!(self.first_answer(&plan.id, &vmm, self.boot_patience(plan)), running, network)?;
        progress.tell(Report::Ended(StageTime::new(Stage::Restore, begun.elapsed())));
        let ssh_host_keys = kept.manifest.ssh_host_keys.clone();
        Ok(Started { guest, origin: Origin::Image, ssh_host_keys, grows: larger.is_some(), kept: Some(kept.clone()) })
    }

    /// Its own names of the image's parts; of the memory a copy, if others must see what it writes.
    async fn lend(&self, plan: &MachinePlan, kept: &Kept) -> Result<Lent, ProviderError> {
        let borrowed = |error| of_io("borrow the memory image", &error);
        let folder = self.lent_folder(plan);
        if plan.spec.mounts.is_empty() {
            return kept.lend(&folder).map_err(borrowed);
        }
        let kept = kept.clone();
        blocking(move || kept.lend_with_own_ram(&folder)).await?.map_err(borrowed)
    }

    /// The next machine with folders of the host finds its copy of the memory made.
    pub(super) fn make_spare_of(&self, plan: &MachinePlan, kept: Kept) {
        if !plan.spec.mounts.is_empty() {
            self.store.spare_apart(kept);
        }
    }

    async fn loaded_and_running(
        &self,
        plan: &MachinePlan,
        vmm: &Vmm,
        larger: Option<MiB>,
    ) -> Result<(), ProviderError> {
        let ready = self.host.ready().await?;
        let control = vmm.control(ready.driver(), CONTROL).await;
        let control = control.map_err(|error| host_refused("reach the VMM", error))?;
        self.let_go(vmm, control.as_ref(), larger).await?;
        self.attach(plan, control.as_ref()).await
    }

    /// The state is loaded, the processors run, the disk has its size. Twice is once. QEMU takes the disk into
    /// its hands when the processors go on, and resizes it only then; the guest hears of it and waits for it.
    pub(super) async fn let_go(
        &self,
        vmm: &Vmm,
        control: &dyn Control,
        larger: Option<MiB>,
    ) -> Result<(), ProviderError> {
        let refused = |error| host_refused("load the guest's state", error);
        // Told to go on while it still loads, it goes on once it has: one answer less to wait for.
        control.resume().await.map_err(refused)?;
        vmm.loaded(control, CONTROL).await.map_err(|error| host_refused("load the guest's state", error))?;
        match larger {
            Some(size) => control.resize_root(size.bytes()).await.map_err(refused),
            None => Ok(()),
        }
    }

    /// Where the names of a machine's image are.
    pub(super) fn lent_folder(&self, plan: &MachinePlan) -> PathBuf {
        self.folder(&plan.id).join(IMAGE)
    }

    /// A machine's own names of its image's parts; whether there are any, the caller looks.
    pub(super) fn lent(&self, plan: &MachinePlan) -> Lent {
        Lent::in_folder(&self.lent_folder(plan))
    }
}
