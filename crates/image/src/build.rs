//! Builds a template of a recipe from the host's own apt sources and package clients. Says what it does through
//! `Progress`; takes the time as an argument; leaves a folder named `unfinished-*` behind if it is killed, and
//! nothing if it fails.
//!
//! resolve ─▶ fetch, of other registries ─▶ resolve, fetch ─▶ kernel ─▶ build ─▶ disk ─▶ seal

mod error;
mod inputs;
mod workshop;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::stage::Stage;
use machine_core::{Progress, Recipe};

use crate::apt::{Package, PrivateApt};
use crate::debian::{Finish, Rootfs};
use crate::disk::RootDisk;
use crate::kernel::{self, UnpackedKernel};
use crate::progress::during;
use crate::registry::{Bought, Shopping};
use crate::seal::{self, Sealed};
use crate::template::manifest::{Manifest, Origin};
use crate::template::{ROOT_DISK, Template};
use crate::tool::{NPM, PIP, SETPRIV, TOOLS};

pub use error::BuildError;
use inputs::Inputs;
pub(crate) use workshop::Workshop;

/// The template that is made of nothing but the base.
pub const BASE: &str = "base";

/// Whether a template that is up to date is built again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// Only where the recipe or the host's sources changed.
    WhenChanged,
    /// In any case, with what the mirror has now.
    Always,
}

/// What to build, and from what.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The folder that holds templates; made if it is not there.
    pub images: PathBuf,
    /// What it shall be called.
    pub name: String,
    /// What it is made of.
    pub recipe: Recipe,
    /// Whether to build what is there already.
    pub rebuild: Rebuild,
    /// When the build was asked for.
    pub now: Timestamp,
    /// Where the host's settings are read: `/` except in tests.
    pub host: PathBuf,
}

/// A template that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// It was there, and nothing that it is made from has changed.
    Already(Template),
    /// It was built now.
    New(Template),
}

impl BuildRequest {
    /// A request to have the base template in `images`, from this host's sources.
    #[must_use]
    pub fn new(images: &Path, rebuild: Rebuild, now: Timestamp) -> Self {
        let (name, recipe) = (BASE.to_owned(), Recipe::default());
        Self { images: images.to_owned(), name, recipe, rebuild, now, host: PathBuf::from("/") }
    }
}

/// Builds a template, or finds that it is built, perhaps under another name. Blocks for a minute or more: call it
/// on a thread of its own.
///
/// # Errors
/// When a tool, the mirror or the disk fails it; nothing is left behind then.
pub fn build_template(request: &BuildRequest, report: &Progress) -> Result<Built, BuildError> {
    let inputs = Inputs::read(&request.host, &request.recipe)?;
    if request.rebuild == Rebuild::WhenChanged
        && let Some(template) = Template::of_inputs(&request.images, &request.name, &inputs.digest)?
    {
        if template.name != request.name {
            seal::name(&request.images, &request.name, &template.digest)?;
        }
        return Ok(Built::Already(Template::load(&request.images, &request.name)?));
    }
    let npm = (!inputs.ingredients.npm.is_empty()).then_some([NPM, SETPRIV]);
    let pip = (!inputs.ingredients.pip.is_empty()).then_some([PIP, SETPRIV]);
    for tool in TOOLS.into_iter().chain(npm.into_iter().flatten()).chain(pip.into_iter().flatten()) {
        tool.find()?;
    }
    let workshop = Workshop::open(&request.images, inputs.ingredients.space)?;
    build_in(&workshop, request, inputs, report)?;
    drop(workshop);
    Ok(Built::New(Template::load(&request.images, &request.name)?))
}

fn build_in(
    workshop: &Workshop,
    request: &BuildRequest,
    mut inputs: Inputs,
    report: &Progress,
) -> Result<(), BuildError> {
    let Workshop { folder, ownership, .. } = workshop;
    let python = check_packages(workshop, &inputs, report)?;
    // Before the kernel: a registry that does not answer, or lacks a package, is told of soon.
    let local = folder.join("local");
    let bought = go_shopping(workshop, &inputs, &python, &local, report)?;
    let (kernel, epoch) = build_kernel(workshop, request, &inputs, report)?;
    inputs.ingredients.run_once(&bought.with_scripts);
    let tar = folder.join("rootfs.tar");
    during(Stage::Build, report, |heard| {
        let modules = (kernel.modules.as_path(), kernel.parts.version.as_str());
        let Inputs { sources, authorities, ingredients, .. } = &inputs;
        let rootfs = Rootfs { sources, ingredients, local: &local, authorities, modules, epoch };
        rootfs.build(folder, &tar, *ownership, heard)
    })?;
    let mut packages = during(Stage::Disk, report, |heard| {
        ownership.remove([local, folder.join("extras.tar")])?;
        let finish = Finish { sources: &inputs.sources, sudoers: &inputs.ingredients.sudoers, epoch };
        let disk = RootDisk { tar: &tar, finish, inputs: &inputs.digest };
        Ok::<_, BuildError>(disk.build(folder, &workshop.template.join(ROOT_DISK), *ownership, heard)?)
    })?;
    packages.extend(bought.packages);
    during(Stage::Seal, report, |_| {
        let identity = workshop.identity(&inputs, &kernel, packages)?;
        let origin = Origin::Recipe(request.recipe.clone());
        let manifest = Manifest::new(&request.name, request.now, origin, identity);
        seal::seal(&request.images, Sealed { folder: &workshop.template, manifest: &manifest })?;
        Ok::<_, BuildError>(())
    })
}

/// Whether the mirror has what the recipe asks for: known before anything large is fetched. The answer is the
/// version of the guest's Python, where somebody wants to know it.
fn check_packages(workshop: &Workshop, inputs: &Inputs, report: &Progress) -> Result<String, BuildError> {
    if inputs.ingredients.is_from_the_base() {
        return Ok(String::new());
    }
    during(Stage::Resolve, report, |heard| {
        let apt = PrivateApt::prepare(&workshop.folder.join("apt-main"), &inputs.sources, heard)?;
        let found = apt.show_all(&inputs.ingredients.apt, heard)?;
        Ok(python_of(&found).unwrap_or_default())
    })
}

/// The guest's Python among its packages, as 3.11.
fn python_of(packages: &[Package]) -> Option<String> {
    let version =
        packages.iter().find_map(|package| package.to_string().strip_prefix("python3=").map(str::to_owned))?;
    Some(version.split('.').take(2).collect::<Vec<_>>().join("."))
}

/// What the host's other clients bring; nothing where nobody asks for it.
fn go_shopping(
    workshop: &Workshop,
    inputs: &Inputs,
    python: &str,
    local: &Path,
    report: &Progress,
) -> Result<Bought, BuildError> {
    let (npm, pip) = (&inputs.ingredients.npm, &inputs.ingredients.pip);
    if npm.is_empty() && pip.is_empty() {
        return Ok(Bought::default());
    }
    let shopping = Shopping { npm, pip, python, target: local };
    let bought = during(Stage::Fetch, report, |heard| shopping.go(&workshop.folder, workshop.ownership, heard))?;
    Ok(bought)
}

/// The kernel, its parts already in the template; and the date that the build gives its files.
fn build_kernel(
    workshop: &Workshop,
    request: &BuildRequest,
    inputs: &Inputs,
    report: &Progress,
) -> Result<(UnpackedKernel, i64), BuildError> {
    let root = workshop.folder.join("apt");
    let (apt, package, epoch) = during(Stage::Resolve, report, |heard| {
        let apt = PrivateApt::prepare(&root, &kernel::sources(&inputs.sources), heard)?;
        let package = kernel::resolve(&apt, heard)?;
        heard(&format!("kernel {package}"));
        let epoch = apt.released().unwrap_or_else(|| request.now.as_second());
        Ok::<_, BuildError>((apt, package, epoch))
    })?;
    let deb = during(Stage::Fetch, report, |heard| apt.download(&package, heard))?;
    let kernel = during(Stage::Kernel, report, |heard| {
        let kernel = kernel::unpack(&package, &deb, &workshop.folder.join("kernel"), heard)?;
        workshop.keep_kernel(&kernel)?;
        Ok::<_, BuildError>(kernel)
    })?;
    Ok((kernel, epoch))
}

#[cfg(test)]
mod tests;
