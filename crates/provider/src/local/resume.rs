//! Resumes a machine that was hibernated: a new VMM gets the memory and the state that were saved, over a new layer of
//! the disk. What was saved stays as it is until it is on record that the machine runs.
//!
//! ```text
//! saved ──checked──▶ layer laid ──▶ VMM waits ──pages laid, state loaded──▶ goes on ──answers, wakes──▶ layer is the top
//!   ▲                                   │                                      │
//!   └───────────── anything fails: the VMM is ended, the layer is laid anew ◀──┘
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Instant;

use machine_core::promise::awakening::Origin;
use machine_core::promise::image_source::Ground;
use machine_core::promise::provider::{MachinePlan, ProviderError, SavedFault};
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_hypervisor::boot_plan::{Backing, Memory, Start};
use machine_hypervisor::process::Vmm;

use super::boot::{Built, nic_of};
use super::hibernate::not_written;
use super::layers::Layers;
use super::memory_image::make_folder;
use super::power_on::Started;
use super::saved::{Base, Saved};
use super::{LocalProvider, blocking, host_refused, of_io, remove_if_there};

impl LocalProvider {
    /// The machine, going on with its memory and answering; it is still to be told who it is, and when.
    pub(super) async fn resume(&self, plan: &MachinePlan, progress: &Progress) -> Result<Started, ProviderError> {
        self.check_ports(plan).await?;
        self.check_folders(plan).await?;
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Load));
        let saved = self.sound_save(plan).await?;
        let _permit = self.permit().await?;
        let memory = Memory { size: plan.spec.memory, backing: Backing::Image(self.base(plan, &saved).await?) };
        let ready = self.host.ready().await?;
        let boot = self.boot_plan(Built {
            machine: &plan.id,
            generation: plan.generation,
            cpus: plan.spec.cpus,
            memory: memory.clone(),
            start: Start::Awaiting,
            disk: self.new_layer(plan, &saved).await?,
            nic: nic_of(plan),
            shares: self.shares(plan),
        })?;
        let vmm = self.launch(self.with_companions(plan, ready.plan(&boot)?)?).await?;
        self.load(plan, &vmm, &memory, &saved).await?;
        let network = self.network_is_ready(plan);
        let (guest, ()) = tokio::try_join!(self.first_answer(&plan.id, &vmm, self.boot_patience(plan)), network)?;
        progress.tell(Report::Ended(StageTime::new(Stage::Load, begun.elapsed())));
        Ok(Started { guest, origin: Origin::Saved, ssh_host_keys: Vec::new(), grows: false, kept: None })
    }

    /// The layer that the resumed guest writes to is the disk's top from here on.
    pub(super) async fn keep_layer(&self, plan: &MachinePlan) -> Result<(), ProviderError> {
        let layers = Layers::in_folder(&self.folder(&plan.id));
        let name = Layers::of_launch(plan.generation);
        let kept = blocking(move || layers.put_on_top(&name)).await?;
        kept.map_err(|error| of_io("keep the disk's new layer", &error))
    }

    /// What was saved, if it is whole and this host can go on with it.
    async fn sound_save(&self, plan: &MachinePlan) -> Result<Saved, ProviderError> {
        let unusable = |fault| move |what| ProviderError::Saved { what, fault };
        let saves = self.saves(&plan.id);
        let checked = move || {
            let saved = saves.open()?.ok_or_else(|| "it is not there".to_owned())?;
            saved.check_state().map(|()| saved)
        };
        let saved = blocking(checked).await?.map_err(unusable(SavedFault::Damaged))?;
        if saved.manifest.machine != plan.id {
            return Err(unusable(SavedFault::Damaged)("it is another machine's".to_owned()));
        }
        let differs = saved.manifest.differences(&self.hypervisor_facts(plan).await?);
        match differs.is_empty() {
            true => Ok(saved),
            false => Err(unusable(SavedFault::Incompatible)(differs.join("; "))),
        }
    }

    /// The memory that the pages lie over.
    async fn base(&self, plan: &MachinePlan, saved: &Saved) -> Result<PathBuf, ProviderError> {
        let (ram, folder) = (self.lent(plan).ram, self.lent_folder(plan));
        let (base, size) = (saved.manifest.base, plan.spec.memory.bytes());
        let found = move || match base {
            Base::Image => File::open(&ram)?.metadata().map(|facts| (ram, facts.len())),
            Base::Zeros => zeros(&folder, &ram, size).map(|()| (ram, size)),
        };
        match blocking(found).await? {
            Ok((ram, bytes)) if bytes == size => Ok(ram),
            Ok((_, bytes)) => {
                let what = format!("its image's memory has {bytes} bytes instead of {size}");
                Err(ProviderError::Saved { what, fault: SavedFault::Damaged })
            }
            Err(error) => {
                let what = format!("its image's memory: {error}");
                Err(ProviderError::Saved { what, fault: SavedFault::Damaged })
            }
        }
    }

    /// A layer of this launch's own, over the one that the saved memory knows.
    async fn new_layer(&self, plan: &MachinePlan, saved: &Saved) -> Result<PathBuf, ProviderError> {
        let layers = Layers::in_folder(&self.folder(&plan.id));
        let layer = layers.path(&Layers::of_launch(plan.generation));
        remove_if_there(&layer)?;
        self.images.lay_over(Ground::Frozen(&layers.path(&saved.manifest.disk)), &layer, None).await?;
        Ok(layer)
    }

    async fn load(&self, plan: &MachinePlan, vmm: &Vmm, memory: &Memory, saved: &Saved) -> Result<(), ProviderError> {
        // It has its memory when it greets.
        let control = self.control(vmm).await?;
        vmm.lay_pages(memory, &saved.pages(), &saved.manifest.pages.digest).await.map_err(not_written)?;
        control.load(&saved.state()).await.map_err(|error| host_refused("load the guest's state", error))?;
        self.let_go(vmm, control.as_ref(), None).await?;
        self.attach(plan, control.as_ref()).await
    }
}

/// A file of zeros, as large as the memory, which takes no room.
fn zeros(folder: &std::path::Path, path: &std::path::Path, bytes: u64) -> io::Result<()> {
    make_folder(folder)?;
    let file = File::options().write(true).create(true).truncate(true).mode(0o400).open(path)?;
    file.set_len(bytes)
}
