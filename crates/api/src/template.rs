//! Templates: what is here, and what to build.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

impl From<machine_core::promise::image_source::TemplateInfo> for TemplateInfo {
    fn from(template: machine_core::promise::image_source::TemplateInfo) -> Self {
        Self {
            name: template.name.to_string(),
            digest: template.digest.to_string(),
            created_at: template.created_at,
            size_bytes: template.size_bytes,
            kernel: template.kernel,
            packages: template.packages,
            built_now: template.built_now,
            image: None,
        }
    }
}
