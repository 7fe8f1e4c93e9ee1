//! Memory images as entries in a list: made at once, removed when asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use machine_core::promise::memory_image::{Fitness, ImageWish, MemoryImage, MemoryImages};
use machine_core::promise::provider::ProviderError;
use machine_core::{Digest, Progress};

/// See the module.
#[derive(Default)]
pub struct FakeMemoryImages(Mutex<Vec<MemoryImage>>);

impl FakeMemoryImages {
    /// The images that are there.
    pub fn kept(&self) -> MutexGuard<'_, Vec<MemoryImage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, goes: impl Fn(&MemoryImage) -> bool) -> Vec<MemoryImage> {
        let mut kept = self.kept();
        let (gone, stay) = kept.drain(..).partition(|image| goes(image));
        *kept = stay;
        gone
    }
}

/// A digest that tells shapes apart.
fn id_of(wish: &ImageWish) -> Digest {
    let number = wish.shape.memory.0 * 1000 + u64::from(wish.shape.cpus);
    format!("sha256:{number:064x}").parse().expect("64 hexadecimal digits")
}

#[async_trait]
impl MemoryImages for FakeMemoryImages {
    async fn build(&self, wish: &ImageWish, _progress: &Progress) -> Result<MemoryImage, ProviderError> {
        let id = id_of(wish);
        let mut kept = self.kept();
        if let Some(image) = kept.iter().find(|image| image.id == id && !wish.anew) {
            return Ok(MemoryImage { built_now: false, ..image.clone() });
        }
        let image = MemoryImage {
            id: id.clone(),
            shape: wish.shape.clone(),
            created_at: Timestamp::UNIX_EPOCH,
            size_bytes: 1 << 20,
            hypervisor: "none (a fake)".to_owned(),
            machines: 0,
            fitness: Fitness::Fit,
            built_now: true,
        };
        kept.retain(|image| image.id != id);
        kept.push(image.clone());
        Ok(image)
    }

    async fn list(&self) -> Result<Vec<MemoryImage>, ProviderError> {
        Ok(self.kept().clone())
    }

    async fn remove(&self, id: &Digest) -> Result<(), ProviderError> {
        match self.take(|image| image.id == *id).is_empty() {
            true => Err(ProviderError::NoMemoryImage { id: id.to_string() }),
            false => Ok(()),
        }
    }

    async fn prune(&self) -> Result<Vec<MemoryImage>, ProviderError> {
        Ok(self.take(|image| image.fitness != Fitness::Fit))
    }

    async fn scrub(&self) -> Result<Vec<MemoryImage>, ProviderError> {
        Ok(self.take(|image| matches!(image.fitness, Fitness::Damaged(_))))
    }
}
