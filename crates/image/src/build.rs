//! Builds the `base` template from the host's own apt sources. Says what it does through `Progress`; takes the time
//! as an argument; leaves a folder named `unfinished-*` behind if it is killed, and nothing if it fails.
//!
//! resolve ─▶ fetch ─▶ kernel ─▶ build ─▶ disk ─▶ seal

mod error;
mod workshop;

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::Progress;
use machine_core::stage::Stage;

use crate::apt::PrivateApt;
use crate::debian::{Finish, PACKAGES, Rootfs, SETUP};
use crate::digest::Digest;
use crate::disk::RootDisk;
use crate::host_sources::HostSources;
use crate::kernel::{self, UnpackedKernel};
use crate::progress::during;
use crate::seal::{Sealed, seal};
use crate::template::manifest::Manifest;
use crate::template::{ROOT_DISK, Template};
use crate::tool::TOOLS;

pub use error::BuildError;
use workshop::Workshop;

/// The template that is built here.
pub const BASE: &str = "base";
/// Raised when the recipe changes in a way that its files do not show.
const RECIPE: &str = "base 1";

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
        Self { images: images.to_owned(), rebuild, now, host: PathBuf::from("/") }
    }
}

/// Builds the base template, or finds that it is built. Blocks for a minute or more: call it on a thread of its own.
///
/// # Errors
/// When a tool, the mirror or the disk fails it; nothing is left behind then.
pub fn build_base(request: &BuildRequest, report: &Progress) -> Result<Built, BuildError> {
    let inputs = Inputs::read(&request.host)?;
    if request.rebuild == Rebuild::WhenChanged
        && let Ok(template) = Template::load(&request.images, BASE)
        && template.manifest.identity.inputs == inputs.digest
    {
        return Ok(Built::Already(template));
    }
    for tool in TOOLS {
        tool.find()?;
    }
    let workshop = Workshop::open(&request.images)?;
    build_in(&workshop, request, &inputs, report)?;
    drop(workshop);
    Ok(Built::New(Template::load(&request.images, BASE)?))
}

fn build_in(workshop: &Workshop, request: &BuildRequest, inputs: &Inputs, report: &Progress) -> Result<(), BuildError> {
    let Workshop { folder, ownership, .. } = workshop;
    let (kernel, epoch) = build_kernel(workshop, request, inputs, report)?;
    let tar = folder.join("rootfs.tar");
    during(Stage::Build, report, |heard| {
        let modules = (kernel.modules.as_path(), kernel.parts.version.as_str());
        let rootfs = Rootfs { sources: &inputs.sources, authorities: &inputs.authorities, modules, epoch };
        rootfs.build(folder, &tar, *ownership, heard)
    })?;
    let packages = during(Stage::Disk, report, |heard| {
        let finish = Finish { sources: &inputs.sources, epoch };
        let disk = RootDisk { tar: &tar, finish, inputs: &inputs.digest };
        disk.build(folder, &workshop.template.join(ROOT_DISK), *ownership, heard)
    })?;
    during(Stage::Seal, report, |_| {
        let identity = workshop.identity(inputs, &kernel, packages)?;
        let manifest = Manifest::new(BASE, request.now, identity);
        seal(&request.images, Sealed { folder: &workshop.template, manifest: &manifest })?;
        Ok::<_, BuildError>(())
    })
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

/// What decides a template, as far as this host decides it.
struct Inputs {
    sources: HostSources,
    authorities: Vec<PathBuf>,
    digest: Digest,
}

impl Inputs {
    fn read(host: &Path) -> Result<Self, BuildError> {
        let sources = HostSources::read(&host.join("etc/apt"), &host.join("etc/os-release"))?;
        let authorities = authorities(&host.join("usr/local/share/ca-certificates"));
        let mut text = format!("{RECIPE}\n{}\n{SETUP}\n{}\n", PACKAGES.join(" "), sources.deb822());
        for path in &authorities {
            let digest = Digest::of_file(path).map_err(|source| BuildError::Io { path: path.clone(), source })?;
            text.push_str(digest.as_str());
        }
        Ok(Self { digest: Digest::of(text.as_bytes()), sources, authorities })
    }
}

/// The host administrator's own authorities: what the host trusts, its guests must trust to reach the same mirrors.
fn authorities(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "crt") && path.is_file())
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests;
