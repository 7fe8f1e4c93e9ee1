//! Memory images of this host's machines: made once for a shape, checked, lent to machines, removed.
//!
//! ```text
//! wanted ──find──▶ kept ─────────────────────────────▶ lent
//!            ├─ damaged: removed, reported ─┐
//!            └─ not there ──────────────────┴─ bake ─▶ kept, lent at once, sealed meanwhile
//! ```

mod bake;
pub(super) mod digest;
mod finish;
mod key;
mod lent;
mod manifest;
mod own;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_finish;
#[cfg(test)]
mod tests_of_own;

use async_trait::async_trait;
use machine_core::network::NetworkMode;
use machine_core::promise::image_source::BootParts;
use machine_core::promise::memory_image::{Fitness, ImageWish, MemoryImage, MemoryImages, Shape};
use machine_core::promise::provider::ProviderError;
use machine_core::stage::{Progress, Report, Stage};
use machine_core::{Digest, MachineId, MiB};

use self::key::Key;
use super::{LocalProvider, blocking, of_io};

/// The disk of a machine whose maker did not say otherwise.
const USUAL_DISK: MiB = MiB(10 * 1024);
/// The disk of a project whose file does not say otherwise.
const PROJECTS_DISK: MiB = MiB(20 * 1024);

pub(crate) use bake::Recipe;
pub(crate) use lent::Lent;
pub(crate) use store::{Check, ImageStore, Kept};
pub(super) use store::{make_folder, remove_folder};

impl LocalProvider {
    /// What an image depends on here and now, of this shape, for disks of at least this size, and for guests that trust
    /// these certificate authorities beside their own.
    ///
    /// Growing a file system is much of the work of a restored guest, and most machines have a usual disk.
    /// So an image's disk has the largest usual size that fits; disks smaller than all of them grow from an image
    /// with the template's own.
    pub(crate) async fn recipe(
        &self,
        shape: &Shape,
        disk: MiB,
        authorities: Vec<String>,
    ) -> Result<Recipe, ProviderError> {
        let ready = self.host.ready().await?;
        let parts = self.images.parts(&shape.template).await?;
        // Nothing of the machine is part of what its memory depends on: any will do.
        let nobody = MachineId::from_entropy(&[0; machine_core::id::ID_ENTROPY]);
        let plan = self.builder_plan(&nobody, shape, &parts, std::path::Path::new("/"))?;
        let hypervisor = ready.ingredients(&plan)?;
        let usual = [PROJECTS_DISK, USUAL_DISK].into_iter().find(|usual| (parts.root_size..=disk).contains(usual));
        let disk = usual.unwrap_or(parts.root_size);
        let key = Key {
            shape: shape.clone(),
            disk,
            authorities: (!authorities.is_empty()).then(|| digest::of_bytes(authorities.concat().as_bytes())),
            initramfs: parts.initramfs_digest.clone(),
            hypervisor,
        };
        Ok(Recipe { key, parts, authorities, warm_up: None })
    }

    /// The image of a recipe, found or made. What was wrong with one that was there is told.
    pub(crate) async fn image_of(&self, recipe: Recipe, progress: &Progress) -> Result<Kept, ProviderError> {
        if let Some(kept) = self.sound_image(&recipe.key, progress).await? {
            return Ok(kept);
        }
        self.tell_why_not(&recipe.key, progress);
        self.bake_apart(recipe, progress, Freshly::IfMissing).await
    }

    /// The image of a key, if it is there and whole; a damaged one is removed.
    async fn sound_image(&self, key: &Key, progress: &Progress) -> Result<Option<Kept>, ProviderError> {
        let (store, wanted) = (self.store.clone(), key.clone());
        match blocking(move || store.find(&wanted, Check::ForUse)).await? {
            Ok(found) => Ok(found),
            Err(damage) => {
                let id = key.id();
                tracing::warn!(image = %id, %damage, "a memory image is damaged; it is removed");
                progress.tell(Report::Told(Stage::Restore, format!("memory image damaged: {damage}")));
                self.store.remove(&id).map_err(|error| of_io("remove a damaged memory image", &error))?;
                Ok(None)
            }
        }
    }

    /// Another image of the same shape: people want to know why it does not do.
    fn tell_why_not(&self, key: &Key, progress: &Progress) {
        let ids = self.store.ids().unwrap_or_default();
        let siblings = ids.iter().filter_map(|id| self.store.open(id, Check::Lengths).ok().flatten());
        for sibling in siblings.filter(|sibling| sibling.manifest.key.is_sibling(key)) {
            let differs = sibling.manifest.key.differences(key).join("; ");
            tracing::info!(image = %sibling.id, differs, "a memory image of this shape does not fit any more");
            progress.tell(Report::Told(Stage::Boot, format!("the memory image that is here does not fit: {differs}")));
        }
    }

    async fn look_at(&self, id: &Digest) -> Result<Option<MemoryImage>, ProviderError> {
        let (store, wanted) = (self.store.clone(), id.clone());
        let kept = match blocking(move || store.open(&wanted, Check::Lengths)).await? {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(None),
            Err(damage) => return Ok(Some(unreadable(id, damage.to_string()))),
        };
        let key = &kept.manifest.key;
        let authorities = match key.authorities {
            Some(_) => self.authorities().await?,
            None => Vec::new(),
        };
        let fitness = match self.recipe(&key.shape, key.disk, authorities).await {
            Ok(now) if now.key == kept.manifest.key => Fitness::Fit,
            Ok(now) => Fitness::Stale(kept.manifest.key.differences(&now.key)),
            Err(error) => Fitness::Stale(vec![error.to_string()]),
        };
        Ok(Some(described(&kept, fitness, false)))
    }

    async fn remove_those(&self, goes: impl Fn(&Fitness) -> bool) -> Result<Vec<MemoryImage>, ProviderError> {
        let mut gone = Vec::new();
        for image in self.list().await?.into_iter().filter(|image| goes(&image.fitness)) {
            self.store.remove(&image.id).map_err(|error| of_io("remove a memory image", &error))?;
            gone.push(image);
        }
        Ok(gone)
    }
}

/// Whether an image that is there is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshly {
    /// Only if it is missing.
    IfMissing,
    /// In any case.
    Always,
}

#[async_trait]
impl MemoryImages for LocalProvider {
    async fn build(&self, wish: &ImageWish, progress: &Progress) -> Result<MemoryImage, ProviderError> {
        let recipe =
            Recipe { warm_up: wish.warm_up.clone(), ..self.recipe(&wish.shape, USUAL_DISK, Vec::new()).await? };
        let found = self.sound_image(&recipe.key, progress).await?;
        if let Some(kept) = found
            && !wish.anew
            && kept.manifest.warm_up == wish.warm_up
        {
            return Ok(described(&kept, Fitness::Fit, false));
        }
        let kept = self.bake_apart(recipe, progress, Freshly::Always).await?;
        Ok(described(&kept, Fitness::Fit, true))
    }

    async fn list(&self) -> Result<Vec<MemoryImage>, ProviderError> {
        let mut images = Vec::new();
        for id in self.store.ids().map_err(|error| of_io("list the memory images", &error))? {
            images.extend(self.look_at(&id).await?);
        }
        images.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(images)
    }

    async fn remove(&self, id: &Digest) -> Result<(), ProviderError> {
        match self.store.remove(id).map_err(|error| of_io("remove a memory image", &error))? {
            true => Ok(()),
            false => Err(ProviderError::NoMemoryImage { id: id.to_string() }),
        }
    }

    async fn prune(&self) -> Result<Vec<MemoryImage>, ProviderError> {
        self.remove_those(|fitness| match fitness {
            Fitness::Fit => false,
            Fitness::Stale(_) | Fitness::Damaged(_) => true,
        })
        .await
    }

    async fn scrub(&self) -> Result<Vec<MemoryImage>, ProviderError> {
        let mut gone = Vec::new();
        for id in self.store.ids().map_err(|error| of_io("list the memory images", &error))? {
            let (store, wanted) = (self.store.clone(), id.clone());
            let looked = move || store.finish(&wanted).and_then(|_| store.open(&wanted, Check::Whole));
            if let Err(damage) = blocking(looked).await? {
                tracing::warn!(image = %id, %damage, "a memory image is damaged; it is removed");
                self.store.remove(&id).map_err(|error| of_io("remove a damaged memory image", &error))?;
                gone.push(unreadable(&id, damage.to_string()));
            }
        }
        Ok(gone)
    }
}

fn described(kept: &Kept, fitness: Fitness, built_now: bool) -> MemoryImage {
    let key = &kept.manifest.key;
    MemoryImage {
        id: kept.id.clone(),
        shape: key.shape.clone(),
        created_at: kept.manifest.made_at,
        size_bytes: kept.occupies(),
        hypervisor: key.runs_on(),
        machines: kept.machines(),
        fitness,
        built_now,
    }
}

/// What can be said of an image whose manifest cannot be trusted.
fn unreadable(id: &Digest, what: String) -> MemoryImage {
    MemoryImage {
        id: id.clone(),
        shape: Shape { template: id.clone(), cpus: 0, memory: MiB(0), network: NetworkMode::User },
        created_at: jiff::Timestamp::UNIX_EPOCH,
        size_bytes: 0,
        hypervisor: String::new(),
        machines: 0,
        fitness: Fitness::Damaged(what),
        built_now: false,
    }
}

/// What a boot of this shape starts from.
pub(crate) fn kernel_of(parts: &BootParts) -> machine_hypervisor::boot_plan::Kernel {
    machine_hypervisor::boot_plan::Kernel {
        kernel: parts.kernel.clone(),
        initramfs: parts.initramfs.clone(),
        parameters: Vec::new(),
    }
}
