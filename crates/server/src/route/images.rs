//! Memory images: list, remove, prune. They are made with a template's build; see `templates.rs`.

use std::sync::Arc;

use axum::extract::{Path, State};
use machine_api::ImageInfo;
use machine_api::image::{BuildImage, PruneImages};
use machine_core::promise::memory_image::MemoryImage;
use machine_core::{MiB, Refusal, TemplateName};
use machine_engine::NewImage;

use crate::App;
use crate::read::Json;
use crate::refused::{Refused, invalid};

/// `GET /v1/images`: a bare list.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<axum::Json<Vec<ImageInfo>>, Refused> {
    let images = app.server.desk.images().await?;
    Ok(axum::Json(named(&app, images).await?))
}

/// `DELETE /v1/images/{id}`: answers what was removed.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Path(reference): Path<String>,
) -> Result<axum::Json<ImageInfo>, Refused> {
    let image = app.server.desk.remove_image(&reference).await?;
    Ok(axum::Json(ImageInfo::of(image, None)))
}

/// `POST /v1/images/prune`: answers what was removed.
pub(crate) async fn prune(
    State(app): State<Arc<App>>,
    Json(PruneImages {}): Json<PruneImages>,
) -> Result<axum::Json<Vec<ImageInfo>>, Refused> {
    let gone = app.server.desk.prune_images().await?;
    Ok(axum::Json(named(&app, gone).await?))
}

/// Images with the names that their templates have now.
async fn named(app: &App, images: Vec<MemoryImage>) -> Result<Vec<ImageInfo>, Refusal> {
    let templates = app.server.desk.templates().await?;
    let name = |image: &MemoryImage| {
        let template = templates.iter().find(|template| template.digest == image.shape.template);
        template.map(|template| &template.name)
    };
    Ok(images
        .into_iter()
        .map(|image| {
            let name = name(&image);
            ImageInfo::of(image, name)
        })
        .collect())
}

/// Reads an image that is asked for with the build of a template.
pub(crate) fn read(template: &TemplateName, image: BuildImage) -> Result<NewImage, Refusal> {
    match image.warm_up.as_deref() {
        Some(line) if line.trim().is_empty() => return Err(invalid("image.warm_up: an empty line")),
        Some(line) if line.contains('\0') => return Err(invalid("image.warm_up: a command has no NUL byte")),
        Some(_) | None => {}
    }
    Ok(NewImage {
        template: template.clone(),
        cpus: image.vcpus,
        memory: MiB(image.memory_mb),
        warm_up: image.warm_up,
        anew: image.anew,
    })
}
