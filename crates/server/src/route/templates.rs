//! Templates: what is here, and building those that this server knows how to build; with memory images of
//! them, if asked.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use machine_api::template::{BuildTemplate, TemplateInfo};
use machine_api::{ImageInfo, ProgressLine};
use machine_core::promise::image_source::Freshness;
use machine_core::{Progress, Refusal, TemplateName};
use machine_engine::{Desk, NewImage};

use super::images;
use crate::App;
use crate::door::Asker;
use crate::read::Json;
use crate::refused::{Refused, invalid};
use crate::work::{Done, Hearing, answer};

/// `GET /v1/templates`: a bare list, as the contract has it.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<axum::Json<Vec<TemplateInfo>>, Refused> {
    let templates = app.server.desk.templates().await?;
    Ok(axum::Json(templates.into_iter().map(TemplateInfo::from).collect()))
}

/// `POST /v1/templates/local/{name}/build`: goes on although its client goes away.
pub(crate) async fn build(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(how): Json<BuildTemplate>,
) -> Result<Response, Refused> {
    let name: TemplateName = name.parse().map_err(|error| invalid(format!("name: {error}")))?;
    let fresh = if how.rebuild { Freshness::Rebuild } else { Freshness::Reuse };
    let image = how.image.map(|image| images::read(&name, image)).transpose()?;
    let desk_app = app.clone();
    let work = move |progress: Progress| async move {
        let template = make(&desk_app.server.desk, &name, fresh, image, &progress).await?;
        Ok(Done::new(StatusCode::OK, &template, ProgressLine::Template(template.clone())))
    };
    answer(&app, &asker, Hearing::of(&headers), work).await
}

async fn make(
    desk: &Desk,
    name: &TemplateName,
    fresh: Freshness,
    image: Option<NewImage>,
    progress: &Progress,
) -> Result<TemplateInfo, Refusal> {
    let Some(wish) = image else { return Ok(desk.build(name, fresh, progress).await?.into()) };
    let (template, image) = desk.build_image(wish, fresh, progress).await?;
    let image = Box::new(ImageInfo::of(image, Some(&template.name)));
    Ok(TemplateInfo { image: Some(image), ..template.into() })
}
