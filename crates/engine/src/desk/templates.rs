//! Templates at the desk: made of recipes and of machines at rest, listed and removed.

use std::path::PathBuf;

use machine_core::promise::image_source::{Freshness, MadeOf, Removed, Rest, RestingDisk, TemplateInfo, TemplateOrder};
use machine_core::{Code, Digest, Machine, Owner, Progress, Recipe, Refusal, State, TemplateName};

use super::Desk;
use super::seats::Errand;
use crate::keeper::KeeperHandle;

/// A template as it is asked for.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    /// What it shall be called.
    pub name: TemplateName,
    /// What it is made of.
    pub from: TemplateFrom,
    /// Whether an unchanged one is built again.
    pub fresh: Freshness,
}

/// What a template is made of, as it is asked for.
#[derive(Debug, Clone)]
pub enum TemplateFrom {
    /// What its name stands for.
    Name,
    /// A recipe.
    Recipe(Recipe),
    /// The disk of a stopped machine.
    Machine {
        /// The machine.
        reference: String,
        /// What tells this state of its disk from others; left out, it is the machine's id and how often it was
        /// started.
        key: Option<String>,
    },
}

/// A template whose name was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedTemplate {
    /// The name.
    pub name: TemplateName,
    /// What it stood for.
    pub digest: Digest,
    /// Whether another name stands for it, so that it is still here.
    pub kept: bool,
    /// Memory images that went with it.
    pub images: Vec<Digest>,
}

impl Desk {
    /// Builds what a template's name stands for.
    ///
    /// # Errors
    /// Why it could not be built.
    pub async fn build(
        &self,
        name: &TemplateName,
        fresh: Freshness,
        progress: &Progress,
    ) -> Result<TemplateInfo, Refusal> {
        let order = TemplateOrder { name: name.clone(), from: MadeOf::Name, fresh };
        Ok(self.promises.images.build(&order, progress).await?)
    }

    /// Builds a template of what is asked for.
    ///
    /// # Errors
    /// `machine_not_ready` for a machine that is not stopped; why it could not be built.
    pub async fn build_template(
        &self,
        owner: &Owner,
        new: NewTemplate,
        progress: &Progress,
    ) -> Result<TemplateInfo, Refusal> {
        let from = match new.from {
            TemplateFrom::Name => MadeOf::Name,
            TemplateFrom::Recipe(recipe) => MadeOf::Recipe(recipe),
            TemplateFrom::Machine { reference, key } => self.resting_disk(owner, &reference, key).await?,
        };
        let order = TemplateOrder { name: new.name, from, fresh: new.fresh };
        Ok(self.promises.images.build(&order, progress).await?)
    }

    async fn resting_disk(&self, owner: &Owner, reference: &str, key: Option<String>) -> Result<MadeOf, Refusal> {
        let keeper = self.keeper(owner, reference).await?;
        let machine = keeper.machine();
        if !rests(&machine) {
            return Err(not_at_rest(&machine));
        }
        let path = self.disk_of(&machine)?;
        let key = key.unwrap_or_else(|| format!("{} {}", machine.id, machine.generation.0));
        let parent = machine.spec.template_digest.clone();
        Ok(MadeOf::Disk(RestingDisk { path, rest: rest_of(keeper, &machine), parent, key }))
    }

    fn disk_of(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        let unknown = || Refusal::new(Code::NotImplemented, "machines of this place have no disk that can be read");
        self.promises.provider.root_disk(&machine.id).ok_or_else(unknown)
    }

    /// Every template here.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn templates(&self) -> Result<Vec<TemplateInfo>, Refusal> {
        Ok(self.promises.images.list().await?)
    }

    /// Takes a template's name away. The template and its memory images go, too, unless another name stands for it.
    ///
    /// # Errors
    /// `template_not_found`; `template_in_use` while machines stand on it.
    pub async fn remove_template(&self, name: &TemplateName) -> Result<RemovedTemplate, Refusal> {
        let name = name.clone();
        let asked = name.clone();
        let removed = self.errand(|reply| Errand::RemoveTemplate { name: asked, reply }).await??;
        let digest = match removed {
            Removed::NameOnly(digest) => return Ok(RemovedTemplate { name, digest, kept: true, images: Vec::new() }),
            Removed::Template(digest) => digest,
        };
        let mut images = Vec::new();
        for image in self.promises.memory_images.list().await? {
            if image.shape.template == digest {
                self.promises.memory_images.remove(&image.id).await?;
                images.push(image.id);
            }
        }
        Ok(RemovedTemplate { name, digest, kept: false, images })
    }
}

/// Whether nobody writes its disk.
fn rests(machine: &Machine) -> bool {
    machine.state == State::Stopped && machine.open.is_none()
}

/// Whether it is still the same rest: each start counts.
fn rest_of(keeper: KeeperHandle, then: &Machine) -> Rest {
    let generation = then.generation;
    Rest::new(move || {
        let now = keeper.machine();
        rests(&now) && now.generation == generation
    })
}

fn not_at_rest(machine: &Machine) -> Refusal {
    let called = machine.called();
    let message = format!("machine {called} is {}; its disk is read at rest", machine.state.word());
    Refusal::new(Code::MachineNotReady, message)
        .hint(format!("stop it with `machine stop {called}`"))
        .reason("not_stopped")
        .about(called)
}
