//! Where templates come from: a name becomes a digest, a digest becomes bootable parts.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::digest::Digest;
use crate::name::TemplateName;
use crate::refusal::Refusal;
use crate::size::MiB;
use crate::stage::Progress;

/// Keeps and builds templates.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// What a template's name means now.
    async fn pin(&self, name: &TemplateName) -> Result<Digest, ImageError>;

    /// Builds a template. One whose ingredients are unchanged is not built again.
    async fn build(
        &self,
        name: &TemplateName,
        fresh: Freshness,
        progress: &Progress,
    ) -> Result<TemplateInfo, ImageError>;

    /// Every template here.
    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError>;

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
            ImageError::NotBuildable { .. } => {
                Self::new(Code::TemplateNotFound, message).hint("this version builds: base")
            }
            ImageError::Failed { .. } => Self::new(Code::BuildError, message),
        }
    }
}
