//! Templates: what is here, and what to build.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use machine_core::recipe;
pub use machine_core::recipe::Recipe;

use crate::image::{BuildImage, ImageInfo};

/// What is known of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateInfo {
    /// Its name.
    pub name: String,
    /// Its content.
    pub digest: String,
    /// When it was built.
    pub created_at: Timestamp,
    /// Bytes on the host's disk.
    pub size_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// How many packages it holds.
    pub packages: u64,
    /// The digest of its recipe; left out of one that was made of a machine's disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Whether this call built it.
    pub built_now: bool,
    /// The memory image that was asked for with its build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Box<ImageInfo>>,
}

/// How to build a template that this server knows how to build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildTemplate {
    /// Build it although it is here and unchanged.
    #[serde(default)]
    pub rebuild: bool,
    /// Make the memory image of one shape of its machines, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<BuildImage>,
}

/// A template that is to be made: of a recipe, or of a stopped machine's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTemplate {
    /// What it shall be called.
    pub name: String,
    /// What it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// The id or the name of the machine whose disk it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_machine: Option<String>,
    /// What tells this state of the machine's disk from others: the same parent and key are one template. Left
    /// out, it is the machine's id and how often it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Build it although it is here and unchanged.
    #[serde(default)]
    pub rebuild: bool,
    /// Make the memory image of one shape of its machines, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<BuildImage>,
}

/// A template whose name was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedTemplate {
    /// The name.
    pub name: String,
    /// What it stood for.
    pub digest: String,
    /// Whether another name stands for it, so that it is still here.
    pub kept: bool,
    /// Memory images that went with it.
    pub images: Vec<String>,
}

impl From<machine_core::promise::image_source::TemplateInfo> for TemplateInfo {
    fn from(template: machine_core::promise::image_source::TemplateInfo) -> Self {
        Self {
            name: template.name.to_string(),
            digest: template.digest.to_string(),
            created_at: template.created_at,
            size_bytes: template.size_bytes,
            kernel: template.kernel,
            packages: template.packages,
            recipe: template.recipe.map(|digest| digest.to_string()),
            built_now: template.built_now,
            image: None,
        }
    }
}
