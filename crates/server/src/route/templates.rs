//! Templates: what is here, making them of recipes and of machines' disks, removing them; with memory images of
//! them, if asked.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use machine_api::template::{self, BuildTemplate, RemovedTemplate, TemplateInfo};
use machine_api::{ImageInfo, ProgressLine};
use machine_core::promise::image_source::Freshness;
use machine_core::{Owner, Progress, Refusal, TemplateName};
use machine_engine::desk::{NewTemplate, TemplateFrom};
use machine_engine::{Desk, NewImage};

use super::images;
use crate::App;
use crate::door::Asker;
use crate::read::Json;
use crate::refused::{Refused, invalid};
use crate::work::{Done, Hearing, answer};

/// The longest key of a machine's disk.
const LONGEST_KEY: usize = 1024;

/// `GET /v1/templates`: a bare list, as the contract has it.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<axum::Json<Vec<TemplateInfo>>, Refused> {
    let templates = app.server.desk.templates().await?;
    Ok(axum::Json(templates.into_iter().map(TemplateInfo::from).collect()))
}

/// `POST /v1/templates`: goes on although its client goes away.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    Json(wish): Json<template::NewTemplate>,
) -> Result<Response, Refused> {
    let name = parsed(&wish.name)?;
    let from = origin(&wish)?;
    let order = NewTemplate { name, from, fresh: freshness(wish.rebuild) };
    work(app, asker, &headers, order, wish.image).await
}

/// `POST /v1/templates/local/{name}/build`: what the name stands for. Goes on although its client goes away.
pub(crate) async fn build(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(how): Json<BuildTemplate>,
) -> Result<Response, Refused> {
    let order = NewTemplate { name: parsed(&name)?, from: TemplateFrom::Name, fresh: freshness(how.rebuild) };
    work(app, asker, &headers, order, how.image).await
}

/// `DELETE /v1/templates/{name}`: answers what is gone.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<axum::Json<RemovedTemplate>, Refused> {
    let gone = app.server.desk.remove_template(&parsed(&name)?).await?;
    Ok(axum::Json(RemovedTemplate {
        name: gone.name.to_string(),
        digest: gone.digest.to_string(),
        kept: gone.kept,
        images: gone.images.iter().map(ToString::to_string).collect(),
    }))
}

fn parsed(name: &str) -> Result<TemplateName, Refusal> {
    name.parse().map_err(|error| invalid(format!("name: {error}")))
}

fn freshness(rebuild: bool) -> Freshness {
    if rebuild { Freshness::Rebuild } else { Freshness::Reuse }
}

/// What it is made of: one thing, and said.
fn origin(wish: &template::NewTemplate) -> Result<TemplateFrom, Refusal> {
    match (&wish.recipe, &wish.from_machine, &wish.key) {
        (Some(_), Some(_), _) => Err(invalid("recipe, from_machine: one of them, not both")),
        (None, None, _) => Err(invalid("recipe: what is the template made of? (or from_machine)")),
        (Some(_), None, Some(_)) => Err(invalid("key: only of a machine's disk")),
        (Some(recipe), None, None) => Ok(TemplateFrom::Recipe(recipe.clone())),
        (None, Some(_), Some(key)) if key.is_empty() || key.len() > LONGEST_KEY => {
            Err(invalid(format!("key: 1 to {LONGEST_KEY} bytes")))
        }
        (None, Some(reference), key) => Ok(TemplateFrom::Machine { reference: reference.clone(), key: key.clone() }),
    }
}

async fn work(
    app: Arc<App>,
    asker: Asker,
    headers: &HeaderMap,
    order: NewTemplate,
    image: Option<machine_api::image::BuildImage>,
) -> Result<Response, Refused> {
    let image = image.map(|image| images::read(&order.name, image)).transpose()?;
    let (desk_app, owner) = (app.clone(), asker.owner.clone());
    let work = move |progress: Progress| async move {
        let template = make(&desk_app.server.desk, &owner, order, image, &progress).await?;
        Ok(Done::new(StatusCode::OK, &template, ProgressLine::Template(template.clone())))
    };
    answer(&app, &asker, Hearing::of(headers), work).await
}

async fn make(
    desk: &Desk,
    owner: &Owner,
    order: NewTemplate,
    image: Option<NewImage>,
    progress: &Progress,
) -> Result<TemplateInfo, Refusal> {
    let Some(wish) = image else { return Ok(desk.build_template(owner, order, progress).await?.into()) };
    desk.admit_image(&wish).await?;
    let template = desk.build_template(owner, order, progress).await?;
    let image = desk.image_of(&template, wish, progress).await?;
    let image = Box::new(ImageInfo::of(image, Some(&template.name)));
    Ok(TemplateInfo { image: Some(image), ..template.into() })
}
