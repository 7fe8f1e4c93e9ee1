//! Keeps core's promise of an `ImageSource` over a folder of templates. Translates words; the blocking
//! work runs on threads of its own.

mod refused;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use machine_core::promise::image_source::{
    BootParts, Freshness, Ground, ImageError, ImageSource, MadeOf, Removed, RestingDisk, TemplateInfo, TemplateOrder,
};
use machine_core::{MiB, Progress, Recipe, TemplateName};

use crate::build::{BASE, BuildError, BuildRequest, Built, Rebuild, build_template};
use crate::digest::Digest;
use crate::kept_disk::{self, DiskRequest};
use crate::overlay::{BaseFormat, create_overlay, virtual_size};
use crate::template::manifest::Origin;
use crate::template::{Template, check_name, sweep_unfinished};
use refused::{failed, of_io, of_overlay};

/// The templates of one installation, each bootable with one agent.
pub struct LocalImages {
    images: PathBuf,
    cache: PathBuf,
    agent: &'static [u8],
    /// Initramfs files that were made or found whole since we run.
    initramfs: Mutex<Vec<Initramfs>>,
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
        let initramfs = Mutex::default();
        Ok(Self { images, cache, agent, initramfs, building: Arc::default() })
    }

    fn of_digest(&self, digest: &machine_core::Digest) -> Result<Template, ImageError> {
        let digest = Digest::try_from(digest.hex().to_owned()).map_err(|error| failed("read a digest", &error))?;
        Ok(Template::by_digest(&self.images, &digest)?)
    }

    /// What an order means here and now.
    fn read(&self, order: &TemplateOrder) -> Result<Work, ImageError> {
        let name = bare(&order.name).to_owned();
        check_name(&name)
            .map_err(|error| ImageError::Invalid { what: error.to_string(), hint: error.hint().unwrap_or_default() })?;
        let rebuild = match order.fresh {
            Freshness::Reuse => Rebuild::WhenChanged,
            Freshness::Rebuild => Rebuild::Always,
        };
        let request = BuildRequest { name, ..BuildRequest::new(&self.images, rebuild, Timestamp::now()) };
        match &order.from {
            MadeOf::Name => Ok(Work::Recipe(BuildRequest { recipe: self.known_recipe(&order.name)?, ..request })),
            MadeOf::Recipe(recipe) if request.name == BASE && !recipe.is_plain() => Err(ImageError::Invalid {
                what: format!("{BASE} is the template without a recipe"),
                hint: "choose another name".to_owned(),
            }),
            MadeOf::Recipe(recipe) => Ok(Work::Recipe(BuildRequest { recipe: recipe.clone(), ..request })),
            MadeOf::Disk(RestingDisk { path, rest, parent, key }) => {
                let parent = Digest::try_from(parent.hex().to_owned());
                let BuildRequest { images, name, rebuild, now, .. } = request;
                Ok(Work::Disk(DiskRequest {
                    images,
                    name,
                    disk: path.clone(),
                    rest: rest.clone(),
                    parent: parent.map_err(|error| failed("read a digest", &error))?,
                    key: key.clone(),
                    rebuild,
                    now,
                }))
            }
        }
    }

    /// What the name was built of before.
    fn known_recipe(&self, name: &TemplateName) -> Result<Recipe, ImageError> {
        if bare(name) == BASE {
            return Ok(Recipe::default());
        }
        match Template::load(&self.images, bare(name)).map(|template| template.manifest.origin) {
            Ok(Origin::Recipe(recipe)) => Ok(recipe),
            Ok(Origin::Disk { .. }) | Err(_) => Err(ImageError::NotBuildable { name: name.to_string() }),
        }
    }

    /// The initramfs of a kernel and today's agent: made once, found by both their digests.
    fn initramfs(&self, template: &Template) -> Result<Initramfs, ImageError> {
        let agent = Digest::of(self.agent);
        let path = self.cache.join(format!("initramfs-{}-{}", &template.digest.as_str()[..16], &agent.as_str()[..16]));
        // Held until it is made: of two who need it at once, one makes it.
        let mut made = self.initramfs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.iter().find(|known| known.path == path && path.exists()) {
            return Ok(known.clone());
        }
        let kernel = template.kernel_parts()?;
        let bytes = crate::build_initramfs(&kernel, self.agent);
        // Compared, not trusted: a crash may have left half of it, and making it takes milliseconds.
        if fs::read(&path).ok().as_deref() != Some(bytes.as_slice()) {
            write_whole(&path, &bytes).map_err(|error| of_io("write the initramfs", &error))?;
        }
        let new = Initramfs { path, digest: to_core(&Digest::of(&bytes))? };
        made.retain(|known| known.path != new.path);
        made.push(new.clone());
        Ok(new)
    }
}

/// A build that is about to begin.
enum Work {
    Recipe(BuildRequest),
    Disk(DiskRequest),
}

impl Work {
    fn go(&self, progress: &Progress) -> Result<Built, BuildError> {
        match self {
            Self::Recipe(request) => build_template(request, progress),
            Self::Disk(request) => kept_disk::keep(request, progress),
        }
    }
}

#[async_trait]
impl ImageSource for LocalImages {
    async fn pin(&self, name: &TemplateName) -> Result<machine_core::Digest, ImageError> {
        let template = Template::load(&self.images, bare(name))?;
        to_core(&template.digest)
    }

    async fn build(&self, order: &TemplateOrder, progress: &Progress) -> Result<TemplateInfo, ImageError> {
        let turn = self.building.clone().lock_owned().await;
        let work = self.read(order)?;
        let progress = progress.clone();
        let built = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work.go(&progress)
        });
        match built.await.map_err(|error| failed("build a template", &error))?? {
            Built::Already(template) => info(&template, false),
            Built::New(template) => info(&template, true),
        }
    }

    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError> {
        Template::list(&self.images)?.iter().map(|template| info(template, false)).collect()
    }

    async fn remove(&self, name: &TemplateName) -> Result<Removed, ImageError> {
        // Not while a build may be about to find what is removed.
        let _turn = self.building.lock().await;
        let template = Template::load(&self.images, bare(name))?;
        let digest = to_core(&template.digest)?;
        Template::remove(&self.images, bare(name))?;
        Ok(if template.folder().exists() { Removed::NameOnly(digest) } else { Removed::Template(digest) })
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
            ready: template.manifest.identity.ready.clone(),
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
    let name = template.name.parse().map_err(|error| failed("read a template's name", &error))?;
    Ok(TemplateInfo {
        name,
        digest: to_core(&template.digest)?,
        created_at: template.manifest.created,
        size_bytes: identity.root_disk.bytes + identity.vmlinux.bytes,
        kernel: identity.kernel_version.clone(),
        packages: identity.packages.len() as u64,
        recipe: match &template.manifest.origin {
            Origin::Recipe(recipe) => Some(to_core(&Digest::of(recipe.canonical().as_bytes()))?),
            Origin::Disk { .. } => None,
        },
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
