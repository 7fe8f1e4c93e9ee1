//! Makes an image: a machine of nobody boots, comes to rest, and is kept instead of used.
//!
//! ```text
//! turn taken ──▶ found after all
//!      └──▶ disk laid ──▶ booted ──▶ services ready ──▶ warmed up ──▶ settled ──▶ paused, saved, quit ──▶ kept
//!                └─────────────── any failure ───────────────────────────────┴──▶ nothing left
//! ```
//! The booting machine is an entry of the machines' folder like any other, and on no ledger: what a killed
//! server leaves of it is removed as an orphan, and the unfinished image by the store's sweep.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use machine_core::id::ID_ENTROPY;
use machine_core::machine::Generation;
use machine_core::promise::guest::{ExecRequest, Exit, Guest, Life, Login, ProcessEvent, Program, Stdin};
use machine_core::promise::image_source::{BootParts, Ground};
use machine_core::promise::memory_image::Shape;
use machine_core::promise::provider::{Provider as _, ProviderError};
use machine_core::stage::{Progress, Report, Stage, StageTime};
use machine_core::{Digest, MachineId};
use machine_hypervisor::boot_plan::{Backing, BootPlan, Memory, Start};
use machine_hypervisor::driver::Control;
use machine_hypervisor::process::Vmm;

use super::key::Key;
use super::manifest::Facts;
use super::store::{self, Kept, Unfinished};
use super::{Freshly, kernel_of};
use crate::local::boot::{Built, nobodys_nic};
use crate::local::{CONTROL, LocalProvider, blocking, host, host_refused, of_io};

/// What a template's services may take until they do their work.
const READY: Duration = Duration::from_secs(300);
/// What a warm-up may take.
const WARM_UP: Duration = Duration::from_secs(300);
/// After the host has left, so long a guest has to notice it before it is stopped.
const FAREWELL: Duration = Duration::from_millis(20);
/// Beside the guest's memory: the state, the disk's changes, and room to breathe.
const SPARE: u64 = 64 << 20;

/// What an image is made of.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) key: Key,
    pub(crate) parts: BootParts,
    /// Certificate authorities that its guest trusts, whose digest is in the key.
    pub(crate) authorities: Vec<String>,
    pub(crate) warm_up: Option<String>,
}

impl LocalProvider {
    /// Bakes in a task of its own: an image is finished although nobody waits for it any more.
    pub(crate) async fn bake_apart(
        &self,
        recipe: Recipe,
        progress: &Progress,
        freshly: Freshly,
    ) -> Result<Kept, ProviderError> {
        let (baker, progress) = (self.clone(), progress.clone());
        let baked = tokio::spawn(async move { baker.bake(&recipe, &progress, freshly).await });
        baked.await.map_err(|error| host_refused("make a memory image", error))?
    }

    async fn bake(&self, recipe: &Recipe, progress: &Progress, freshly: Freshly) -> Result<Kept, ProviderError> {
        let _first = self.baking.lock().await;
        let store = self.store.clone();
        let turn = blocking(move || store.take_turn()).await?;
        let _turn = turn.map_err(|error| of_io("wait for another memory image", &error))?;
        if freshly == Freshly::IfMissing
            && let Some(kept) = self.sound_image(&recipe.key, progress).await?
        {
            return Ok(kept);
        }
        let id = recipe.key.id();
        self.check_space(&recipe.key.shape)?;
        let made = self.store.begin(&id).map_err(|error| of_io("begin a memory image", &error))?;
        let builder = builder(&id);
        self.remove(&builder).await?;
        self.note_builder(Some(builder.clone()));
        let facts = self.boot_and_save(&builder, recipe, &made, progress).await;
        self.remove(&builder).await?;
        self.note_builder(None);
        let (facts, begun) = facts?;
        let store = self.store.clone();
        let kept = blocking(move || store.keep(made, facts)).await?;
        let kept = kept.map_err(|error| of_io("keep the memory image", &error))?;
        self.store.clone().finish_apart();
        progress.tell(Report::Ended(StageTime::new(Stage::Keep, begun.elapsed())));
        tracing::info!(image = %id, bytes = kept.occupies(), "a memory image was made");
        Ok(kept)
    }

    fn note_builder(&self, builder: Option<MachineId>) {
        *self.builder.lock().unwrap_or_else(PoisonError::into_inner) = builder;
    }

    /// A guest's memory that finds no room would kill its VMM with a signal; better said before.
    fn check_space(&self, shape: &Shape) -> Result<(), ProviderError> {
        let folder = &self.settings.images;
        host::make_private_folder(folder)?;
        let facts = rustix::fs::statvfs(folder).map_err(|error| of_io("look at the disk", &error.into()))?;
        if facts.f_bavail.saturating_mul(facts.f_frsize) < shape.memory.bytes().saturating_add(SPARE) {
            return Err(ProviderError::DiskFull { tried: "keep the guest's memory".to_owned() });
        }
        Ok(())
    }

    /// The builder up to its kept state; answers what is known of it, and since when it was being kept.
    async fn boot_and_save(
        &self,
        builder: &MachineId,
        recipe: &Recipe,
        made: &Unfinished,
        progress: &Progress,
    ) -> Result<(Facts, Instant), ProviderError> {
        let _permit = self.permit().await?;
        self.make_folder(builder)?;
        let template = Ground::Template(&recipe.key.shape.template);
        self.images.lay_over(template, &made.part(store::DISK), Some(recipe.key.disk)).await?;
        let booting = Instant::now();
        progress.tell(Report::Begun(Stage::Boot));
        let ready = self.host.ready().await?;
        let plan = self.builder_plan(builder, &recipe.key.shape, &recipe.parts, &made.part(""))?;
        let vmm = self.launch(ready.plan(&plan)?).await?;
        let guest = self.first_answer(builder, &vmm, self.settings.boot_timeout).await?;
        progress.tell(Report::Ended(StageTime::new(Stage::Boot, booting.elapsed())));
        if let Some(line) = &recipe.parts.ready {
            run(guest.as_ref(), until(line), READY).await?;
        }
        if let Some(line) = &recipe.warm_up {
            run(guest.as_ref(), line.clone(), WARM_UP).await?;
        }
        let begun = Instant::now();
        progress.tell(Report::Begun(Stage::Keep));
        let settled = self.in_time(builder, guest.settle(&recipe.authorities), self.settings.boot_timeout).await?;
        drop(guest);
        self.seats.forget_guest(builder);
        tokio::time::sleep(FAREWELL).await;
        let control = vmm.control(ready.driver(), CONTROL).await;
        let control = control.map_err(|error| host_refused("reach the VMM", error))?;
        save(control.as_ref(), &vmm, &made.part(store::STATE)).await?;
        let facts = Facts {
            key: recipe.key.clone(),
            made_at: Timestamp::now(),
            ssh_host_keys: settled.ssh_host_keys,
            warm_up: recipe.warm_up.clone(),
        };
        Ok((facts, begun))
    }

    /// How an image's guest boots; its parts are made in `folder`.
    pub(crate) fn builder_plan(
        &self,
        builder: &MachineId,
        shape: &Shape,
        parts: &BootParts,
        folder: &Path,
    ) -> Result<BootPlan, ProviderError> {
        self.boot_plan(Built {
            machine: builder,
            generation: Generation(1),
            cpus: shape.cpus,
            memory: Memory { size: shape.memory, backing: Backing::Kept(folder.join(store::RAM)) },
            start: Start::Boot(kernel_of(parts)),
            disk: folder.join(store::DISK),
            nic: nobodys_nic(shape.network),
            shares: Vec::new(),
        })
    }
}

/// The machine that boots for an image. Its id follows from the image's, so that a repeat finds what an
/// earlier try left.
fn builder(image: &Digest) -> MachineId {
    let mut entropy = [0; ID_ENTROPY];
    for (byte, letter) in entropy.iter_mut().zip(image.hex().bytes().rev()) {
        *byte = letter;
    }
    MachineId::from_entropy(&entropy)
}

async fn save(control: &dyn Control, vmm: &Vmm, state: &Path) -> Result<(), ProviderError> {
    let refused = |error| host_refused("save the guest's state", error);
    control.pause().await.map_err(refused)?;
    control.save_state(state).await.map_err(refused)?;
    control.quit().await.map_err(refused)?;
    // Its end writes what it still holds of the disk.
    match tokio::time::timeout(CONTROL, vmm.exited()).await {
        Ok(ended) => ended.map(drop).map_err(|error| of_io("wait for the VMM", &error)),
        Err(_) => Err(ProviderError::Host {
            tried: "save the guest's state".to_owned(),
            detail: "the VMM does not end".to_owned(),
        }),
    }
}

/// A line that ends well once `ready` does.
fn until(ready: &str) -> String {
    format!("until {{ {ready}; }} >/dev/null 2>&1; do sleep 0.2; done")
}

/// Runs a line as root: the template's own, which waits for its services, or the one that a person gave.
async fn run(guest: &dyn Guest, line: String, patience: Duration) -> Result<(), ProviderError> {
    let request = ExecRequest {
        program: Program::Shell(line),
        cwd: None,
        envs: std::collections::BTreeMap::new(),
        user: None,
        stdin: Stdin::Null,
        terminal: None,
        timeout: Some(patience),
        life: Life::Attached,
        login: Login::No,
        umask: None,
    };
    let mut process = guest.exec(request).await?;
    let mut said = Vec::new();
    loop {
        match process.next().await? {
            ProcessEvent::Stderr(bytes) | ProcessEvent::Stdout(bytes) => {
                said.extend_from_slice(&bytes);
                let surplus = said.len().saturating_sub(crate::local::LOG_TAIL);
                said.drain(..surplus);
            }
            ProcessEvent::Exited(Exit::Code(0)) => return Ok(()),
            ProcessEvent::Exited(exit) => {
                let said = crate::local::ending::readable(&said);
                let detail = format!("it ended with {exit:?}: {said}");
                return Err(ProviderError::WarmUp { detail });
            }
        }
    }
}
