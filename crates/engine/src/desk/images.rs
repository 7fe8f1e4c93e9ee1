//! Memory images at the desk: making them ahead of need, listing and removing them. Machines that are made
//! find theirs by themselves; see the provider.

use std::collections::BTreeMap;

use machine_core::network::{NetworkMode, NetworkSpec};
use machine_core::policy::admit::admit;
use machine_core::promise::image_source::{Freshness, TemplateInfo};
use machine_core::promise::memory_image::{ImageWish, MemoryImage, Shape};
use machine_core::spec::{FirstStart, RootLife};
use machine_core::{Code, Digest, MachineSpec, MiB, Progress, Refusal, TemplateName};

use super::Desk;

/// A memory image as it is asked for; the template's name is pinned here.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// The template.
    pub template: TemplateName,
    /// Virtual processors of its machines.
    pub cpus: u32,
    /// Guest memory of its machines.
    pub memory: MiB,
    /// A line for the guest's shell, run before the image is kept.
    pub warm_up: Option<String>,
    /// Make it again although it is there.
    pub anew: bool,
}

impl Desk {
    /// Builds a template if need be, and then the memory image of one shape of its machines.
    ///
    /// # Errors
    /// A refusal, before anything is built, of a size that no create would be given; why a build failed.
    pub async fn build_image(
        &self,
        wish: NewImage,
        fresh: Freshness,
        progress: &Progress,
    ) -> Result<(TemplateInfo, MemoryImage), Refusal> {
        self.admit_image(&wish).await?;
        let template = self.build(&wish.template, fresh, progress).await?;
        let image = self.image_of(&template, wish, progress).await?;
        Ok((template, image))
    }

    /// Refuses an image of a size that no create would be given.
    ///
    /// # Errors
    /// See there.
    pub async fn admit_image(&self, wish: &NewImage) -> Result<(), Refusal> {
        admit(&sized(wish), self.promises.provider.offers().await?.capacity)
    }

    /// The memory image of one shape of machines of a template that is built.
    ///
    /// # Errors
    /// Why it could not be made.
    pub async fn image_of(
        &self,
        template: &TemplateInfo,
        wish: NewImage,
        progress: &Progress,
    ) -> Result<MemoryImage, Refusal> {
        let wish = ImageWish {
            shape: Shape {
                template: template.digest.clone(),
                cpus: wish.cpus,
                memory: wish.memory,
                network: NetworkMode::User,
            },
            // Nobody can tell what an image that is there was warmed up with.
            anew: wish.anew || wish.warm_up.is_some(),
            warm_up: wish.warm_up,
        };
        Ok(self.promises.memory_images.build(&wish, progress).await?)
    }

    /// Every memory image here, also those that no machine can use any more.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn images(&self) -> Result<Vec<MemoryImage>, Refusal> {
        Ok(self.promises.memory_images.list().await?)
    }

    /// Removes the image that an id, or a unique beginning of one, means; machines of it go on.
    ///
    /// # Errors
    /// `image_not_found`; `invalid_request` for a beginning that several share.
    pub async fn remove_image(&self, reference: &str) -> Result<MemoryImage, Refusal> {
        let image = choose(self.images().await?, reference)?;
        self.promises.memory_images.remove(&image.id).await?;
        Ok(image)
    }

    /// Removes every image that cannot be used here any more, and answers which.
    ///
    /// # Errors
    /// If they cannot be read or removed.
    pub async fn prune_images(&self) -> Result<Vec<MemoryImage>, Refusal> {
        Ok(self.promises.memory_images.prune().await?)
    }
}

/// The image whose id begins so, with `sha256:` or without.
fn choose(images: Vec<MemoryImage>, reference: &str) -> Result<MemoryImage, Refusal> {
    let begin = reference.strip_prefix("sha256:").unwrap_or(reference);
    let mut found = images.into_iter().filter(|image| !begin.is_empty() && image.id.hex().starts_with(begin));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Refusal::new(Code::ImageNotFound, format!("no memory image: {reference}"))
            .hint("`machine image ls` lists the memory images")),
        (Some(_), Some(_)) => {
            Err(Refusal::new(Code::InvalidRequest, format!("several memory images begin with: {reference}"))
                .hint("say more of the id; `machine image ls` lists them"))
        }
    }
}

/// A machine of the image's size, to be admitted as a create of it would be. Of a template that may not be
/// built yet: its digest is nobody's.
fn sized(wish: &NewImage) -> MachineSpec {
    let nobodys: Digest =
        format!("sha256:{}", "0".repeat(64)).parse().expect("sha256: and 64 hexadecimal digits are a digest");
    MachineSpec {
        name: None,
        template: wish.template.clone(),
        template_digest: nobodys,
        cpus: wish.cpus,
        memory: wish.memory,
        disk: MiB(0),
        envs: BTreeMap::new(),
        labels: BTreeMap::new(),
        metadata: "{}".to_owned(),
        cwd: None,
        first_start: FirstStart::Image,
        network: NetworkSpec::default(),
        root: RootLife::default(),
        mounts: Vec::new(),
        deadlines: machine_core::spec::Deadlines::default(),
    }
}
