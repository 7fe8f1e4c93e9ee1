//! Where templates come from: a name becomes a digest, a digest becomes bootable parts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::digest::Digest;
use crate::name::TemplateName;
use crate::recipe::Recipe;
use crate::refusal::Refusal;
use crate::size::MiB;
use crate::stage::Progress;

/// Keeps and builds templates.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// What a template's name means now.
    async fn pin(&self, name: &TemplateName) -> Result<Digest, ImageError>;

    /// Builds a template. One whose ingredients are unchanged is not built again.
    async fn build(&self, order: &TemplateOrder, progress: &Progress) -> Result<TemplateInfo, ImageError>;

    /// Every template here.
    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError>;

    /// Takes the name away, and the template with it if no other name stands for it. The caller makes sure that no
    /// machine stands on it.
    async fn remove(&self, name: &TemplateName) -> Result<Removed, ImageError>;

    /// The files that boot a template.
    async fn parts(&self, template: &Digest) -> Result<BootParts, ImageError>;

    /// Makes a disk at `path` whose content is what it lies on, copy-on-write; of this size, or as large as
    /// what it lies on. An existing disk is left as it is.
    async fn lay_over(&self, ground: Ground<'_>, path: &Path, size: Option<MiB>) -> Result<(), ImageError>;
}

/// What a disk lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground<'a> {
    /// A template's root.
    Template(&'a Digest),
    /// A disk that was laid over a template and is never written again.
    Frozen(&'a Path),
}

/// A template to be built.
#[derive(Debug, Clone)]
pub struct TemplateOrder {
    /// What it shall be called.
    pub name: TemplateName,
    /// What it is made of.
    pub from: MadeOf,
    /// Whether an unchanged one is built again.
    pub fresh: Freshness,
}

/// What a template is made of.
#[derive(Debug, Clone)]
pub enum MadeOf {
    /// What the name stands for: the plain base for `base`, for others what they were built of before.
    Name,
    /// A recipe.
    Recipe(Recipe),
    /// The disk of a machine that is at rest.
    Disk(RestingDisk),
}

/// A disk that nobody writes, with the file system of a machine on it.
#[derive(Debug, Clone)]
pub struct RestingDisk {
    /// The disk: read, and never changed.
    pub path: PathBuf,
    /// Asked once it was read.
    pub rest: Rest,
    /// The template that its machine was made of.
    pub parent: Digest,
    /// What tells one state of the disk from the next: the same parent and key are one template.
    pub key: String,
}

/// Whether nobody began to write a disk since it was said to rest.
#[derive(Clone)]
pub struct Rest(Arc<dyn Fn() -> bool + Send + Sync>);

impl Rest {
    /// What `lasts` says.
    pub fn new(lasts: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(lasts))
    }

    /// Whether it lasts.
    #[must_use]
    pub fn lasts(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rest").field(&self.lasts()).finish()
    }
}

/// What became of a template whose name was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Template(Digest),
    /// Another name stands for it.
    NameOnly(Digest),
}

/// Whether an unchanged template is built again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// What is built and unchanged is good.
    Reuse,
    /// Build it again.
    Rebuild,
}

/// What is known of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateInfo {
    /// Its name.
    pub name: TemplateName,
    /// Its content.
    pub digest: Digest,
    /// When it was built.
    pub created_at: Timestamp,
    /// Bytes on the host's disk.
    pub size_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// How many packages it holds.
    pub packages: u64,
    /// The digest of its recipe; of a machine's disk there is none.
    pub recipe: Option<Digest>,
    /// Whether this call built it.
    pub built_now: bool,
}

/// The files that boot a template; read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootParts {
    /// The kernel, an uncompressed ELF image.
    pub kernel: PathBuf,
    /// The initramfs with today's agent.
    pub initramfs: PathBuf,
    /// The initramfs's content.
    pub initramfs_digest: Digest,
    /// The root disk, raw.
    pub root: PathBuf,
    /// The root disk's size as a guest sees it.
    pub root_size: MiB,
    /// A line for the guest's shell that succeeds once its services do their work; until then the guest is not
    /// kept as an image.
    pub ready: Option<String>,
}

/// Why a template cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No template by that name or digest is here.
    #[error("no template: {name}")]
    Unknown {
        /// The name or digest.
        name: String,
    },
    /// A part is missing or not what was built.
    #[error("template {name} is damaged: {part}")]
    Damaged {
        /// Which template.
        name: String,
        /// Which part, and how.
        part: String,
    },
    /// The disk asked for is smaller than the template's.
    #[error("disk too small: {asked}; the template needs at least {least}")]
    DiskTooSmall {
        /// What was asked.
        asked: MiB,
        /// What is needed.
        least: MiB,
    },
    /// A tool of the host is missing.
    #[error("a program is missing: {tool}")]
    ToolMissing {
        /// Which.
        tool: String,
        /// The package that has it.
        package: String,
    },
    /// The host's disk is full.
    #[error("cannot {tried}: the disk is full")]
    DiskFull {
        /// What was tried.
        tried: String,
    },
    /// Nothing here knows how to build it.
    #[error("template {name} cannot be built here")]
    NotBuildable {
        /// Which.
        name: String,
    },
    /// What was asked for cannot be: an ingredient that nobody has, a name that cannot be one.
    #[error("{what}")]
    Invalid {
        /// What cannot be.
        what: String,
        /// What to ask for instead.
        hint: String,
    },
    /// The machine whose disk was read did not rest.
    #[error("the machine was started while its disk was read")]
    Restless,
    /// The build failed.
    #[error("cannot {tried}: {detail}")]
    Failed {
        /// What was tried.
        tried: String,
        /// What the tool or the host said.
        detail: String,
    },
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        let message = error.to_string();
        match error {
            ImageError::Unknown { name } => Self::new(Code::TemplateNotFound, message)
                .hint(format!("`machine template ls` lists what is here; `machine template build {name}` builds it")),
            ImageError::Damaged { name, .. } => Self::new(Code::Damaged, message)
                .hint(format!("build it again: `machine template build {name} --rebuild`")),
            ImageError::DiskTooSmall { least, .. } => {
                Self::new(Code::InvalidRequest, message).hint(format!("ask for a disk of at least {least}"))
            }
            ImageError::ToolMissing { package, .. } => {
                Self::new(Code::HostNotCapable, message).hint(format!("install it: `apt-get install {package}`"))
            }
            ImageError::DiskFull { .. } => Self::new(Code::DiskFull, message)
                .hint("free some space, or give MACHINE_HOME a larger disk; nothing was left behind"),
            ImageError::NotBuildable { .. } => Self::new(Code::TemplateNotFound, message)
                .hint("say what it is made of: `machine template build --help`"),
            ImageError::Invalid { hint, .. } => Self::new(Code::InvalidRequest, message).hint(hint),
            ImageError::Restless => {
                Self::new(Code::MachineNotReady, message).hint("stop it, then build again").reason("not_stopped")
            }
            ImageError::Failed { .. } => Self::new(Code::BuildError, message),
        }
    }
}
