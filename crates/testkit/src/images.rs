//! One template, `base`, that exists.

use std::path::Path;

use async_trait::async_trait;
use machine_core::promise::image_source::{
    BootParts, Ground, ImageError, ImageSource, Removed, TemplateInfo, TemplateOrder,
};
use machine_core::{Digest, MiB, Progress, TemplateName};

/// See the module.
pub struct FakeImages;

#[async_trait]
impl ImageSource for FakeImages {
    async fn pin(&self, name: &TemplateName) -> Result<Digest, ImageError> {
        let unknown = || ImageError::Unknown { name: name.to_string() };
        let digest = format!("sha256:{}", "5".repeat(64));
        if name.as_str() == "base" { digest.parse().map_err(|_| unknown()) } else { Err(unknown()) }
    }

    async fn build(&self, order: &TemplateOrder, _progress: &Progress) -> Result<TemplateInfo, ImageError> {
        Err(ImageError::NotBuildable { name: order.name.to_string() })
    }

    async fn remove(&self, name: &TemplateName) -> Result<Removed, ImageError> {
        Ok(Removed::Template(self.pin(name).await?))
    }

    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError> {
        Ok(Vec::new())
    }

    async fn parts(&self, template: &Digest) -> Result<BootParts, ImageError> {
        Err(ImageError::Unknown { name: template.to_string() })
    }

    async fn lay_over(&self, _ground: Ground<'_>, _path: &Path, _size: Option<MiB>) -> Result<(), ImageError> {
        Ok(())
    }
}
