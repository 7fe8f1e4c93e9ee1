//! Keeps core's promise of an `ImageSource` over a folder of templates. Translates words; the blocking
//! work runs on threads of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use jiff::Timestamp;
use machine_core::promise::image_source::{BootParts, Freshness, Ground, ImageError, ImageSource, TemplateInfo};
use machine_core::{MiB, Progress, TemplateName};

use crate::build::{BASE, BuildError, BuildRequest, Built, Rebuild, build_base};
use crate::digest::Digest;
use crate::overlay::{BaseFormat, OverlayError, create_overlay, virtual_size};
use crate::template::{Template, TemplateError, sweep_unfinished};
use crate::tool::ToolError;

/// The templates of one installation, each bootable with one agent.
pub struct LocalImages {
    images: PathBuf,
    cache: PathBuf,
    agent: &'static [u8],
    /// Initramfs files that were made or found whole since we run.
    initramfs: RwLock<Vec<Initramfs>>,
    /// One build at a time: a second one of the same template finds it built.
    building: Arc<tokio::sync::Mutex<()>>,
}

/// One that was made, and its content's name.
#[derive(Clone)]
struct Initramfs {
    path: PathBuf,
    digest: machine_core::Digest,
}

impl LocalImages {
    /// The templates below `images`, booted with `agent`; what can be made again lies in `cache`.
    /// Removes what an interrupted build left.
    ///
    /// # Errors
    /// If what is left of a build cannot be removed.
    pub fn open(images: PathBuf, cache: PathBuf, agent: &'static [u8]) -> Result<Self, ImageError> {
        sweep_unfinished(&images).map_err(|error| failed("remove an unfinished build", &error))?;
        let initramfs = RwLock::default();
        Ok(Self { images, cache, agent, initramfs, building: Arc::default() })
    }

    fn of_digest(&self, digest: &machine_core::Digest) -> Result<Template, ImageError> {
        let digest = Digest::try_from(digest.hex().to_owned()).map_err(|error| failed("read a digest", &error))?;
        Ok(Template::by_digest(&self.images, &digest)?)
    }

    /// The initramfs of a kernel and today's agent: made once, found by both their digests.
    fn initramfs(&self, template: &Template) -> Result<Initramfs, ImageError> {
        let agent = Digest::of(self.agent);
        let path = self.cache.join(format!("initramfs-{}-{}", &template.digest.as_str()[..16], &agent.as_str()[..16]));
        let known = self.initramfs.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.path == path && path.exists()) {
            return Ok(known.clone());
        }
        drop(known);
        let kernel = template.kernel_parts()?;
        let bytes = crate::build_initramfs(&kernel, self.agent);
        // Compared, not trusted: a crash may have left half of it, and making it takes milliseconds.
        if fs::read(&path).ok().as_deref() != Some(bytes.as_slice()) {
            write_whole(&path, &bytes).map_err(|error| of_io("write the initramfs", &error))?;
        }
        let made = Initramfs { path, digest: to_core(&Digest::of(&bytes))? };
        self.initramfs.write().unwrap_or_else(PoisonError::into_inner).push(made.clone());
        Ok(made)
    }
}

#[async_trait]
impl ImageSource for LocalImages {
    async fn pin(&self, name: &TemplateName) -> Result<machine_core::Digest, ImageError> {
        let template = Template::load(&self.images, bare(name))?;
        to_core(&template.digest)
    }

    async fn build(
        &self,
        name: &TemplateName,
        fresh: Freshness,
        progress: &Progress,
    ) -> Result<TemplateInfo, ImageError> {
        if bare(name) != BASE {
            return Err(ImageError::NotBuildable { name: name.to_string() });
        }
        let rebuild = match fresh {
            Freshness::Reuse => Rebuild::WhenChanged,
            Freshness::Rebuild => Rebuild::Always,
        };
        let request = BuildRequest::new(&self.images, rebuild, Timestamp::now());
        let progress = progress.clone();
        let turn = self.building.clone().lock_owned().await;
        let built = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            build_base(&request, &progress)
        });
        match built.await.map_err(|error| failed("build a template", &error))?? {
            Built::Already(template) => info(&template, false),
            Built::New(template) => info(&template, true),
        }
    }

    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError> {
        Template::list(&self.images)?.iter().map(|template| info(template, false)).collect()
    }

    async fn parts(&self, template: &machine_core::Digest) -> Result<BootParts, ImageError> {
        let template = self.of_digest(template)?;
        let initramfs = self.initramfs(&template)?;
        Ok(BootParts {
            kernel: template.vmlinux(),
            initramfs: initramfs.path,
            initramfs_digest: initramfs.digest,
            root: template.root_disk(),
            root_size: root_size(&template),
        })
    }

    async fn lay_over(&self, ground: Ground<'_>, path: &Path, size: Option<MiB>) -> Result<(), ImageError> {
        let (base, format) = match ground {
            Ground::Template(digest) => (self.of_digest(digest)?.root_disk(), BaseFormat::Raw),
            Ground::Frozen(disk) => (disk.to_owned(), BaseFormat::Qcow2),
        };
        if path.exists() {
            return Ok(());
        }
        lay(&base, format, path, size)
    }
}

/// A disk under another name first: one that is there is whole. Its base by its real path: the folder that
/// we know it by may be a link of somebody who moves on.
fn lay(base: &Path, format: BaseFormat, path: &Path, size: Option<MiB>) -> Result<(), ImageError> {
    let base = base.canonicalize().map_err(|error| of_io("find what the disk lies on", &error))?;
    let least = virtual_size(&base, format).map_err(|error| failed("read what the disk lies on", &error))?;
    let unfinished = path.with_extension("unfinished");
    remove_if_there(&unfinished).map_err(|error| of_io("remove half a disk", &error))?;
    create_overlay(&unfinished, &base, format, size.map_or(least, MiB::bytes))
        .map_err(|error| of_overlay(&error, MiB(least.div_ceil(1 << 20))))?;
    fs::rename(&unfinished, path).map_err(|error| of_io("put the disk in its place", &error))
}

/// `base` and `base:latest` are one.
fn bare(name: &TemplateName) -> &str {
    let name = name.as_str();
    name.strip_suffix(":latest").unwrap_or(name)
}

fn to_core(digest: &Digest) -> Result<machine_core::Digest, ImageError> {
    format!("sha256:{}", digest.as_str()).parse().map_err(|error| failed("read a digest", &error))
}

fn root_size(template: &Template) -> MiB {
    MiB(template.manifest.identity.root_disk.bytes.div_ceil(1 << 20))
}

fn info(template: &Template, built_now: bool) -> Result<TemplateInfo, ImageError> {
    let identity = &template.manifest.identity;
    let name = template.manifest.name.parse().map_err(|error| failed("read a template's name", &error))?;
    Ok(TemplateInfo {
        name,
        digest: to_core(&template.digest)?,
        created_at: template.manifest.created,
        size_bytes: identity.root_disk.bytes + identity.vmlinux.bytes,
        kernel: identity.kernel_version.clone(),
        packages: identity.packages.len() as u64,
        built_now,
    })
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// What stands behind an error, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn failed(tried: &str, error: &dyn std::error::Error) -> ImageError {
    ImageError::Failed { tried: tried.to_owned(), detail: chain(error) }
}

fn of_io(tried: &str, error: &io::Error) -> ImageError {
    match error.kind() {
        io::ErrorKind::StorageFull => ImageError::DiskFull { tried: tried.to_owned() },
        _ => failed(tried, error),
    }
}

fn of_overlay(error: &OverlayError, least: MiB) -> ImageError {
    match error {
        OverlayError::TooSmall { wanted, .. } => ImageError::DiskTooSmall { asked: MiB(wanted >> 20), least },
        OverlayError::Write { source, .. } => of_io("make the root disk", source),
        OverlayError::Base { .. }
        | OverlayError::NotQcow2 { .. }
        | OverlayError::BasePath { .. }
        | OverlayError::TooLarge { .. } => failed("make the root disk", error),
    }
}

impl From<TemplateError> for ImageError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Unknown { name } | TemplateError::BadName { name } => Self::Unknown { name },
            TemplateError::Damaged { name, part, reason } => Self::Damaged { name, part: format!("{part}: {reason}") },
            TemplateError::Io { .. } => failed("read the templates", &error),
        }
    }
}

impl From<BuildError> for ImageError {
    fn from(error: BuildError) -> Self {
        if error.is_disk_full() {
            return Self::DiskFull { tried: "build a template".to_owned() };
        }
        match error.tool() {
            Some(ToolError::Missing { tool, package }) => {
                Self::ToolMissing { tool: (*tool).to_owned(), package: (*package).to_owned() }
            }
            Some(
                ToolError::Start { .. }
                | ToolError::DiskFull { .. }
                | ToolError::MirrorUnreachable { .. }
                | ToolError::Failed { .. },
            )
            | None => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Self::Failed { tried: "build a template".to_owned(), detail: format!("{}{hint}", chain(&error)) }
            }
        }
    }
}
