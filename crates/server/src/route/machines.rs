//! Machines: make, list, look, start, stop, pause, hibernate, resume, destroy.

use std::sync::Arc;

use axum::extract::{Extension, Path, Query, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use machine_api::machine::Destroyed;
use machine_api::{IDEMPOTENCY_KEY, MachineInfo, Page, ProgressLine, Status};
use machine_core::{Command, Machine, Progress, Refusal};
use machine_engine::operation::CARRIED_OUT;
use serde::Deserialize;
use serde_json::Value;

use super::note_machine;
use crate::App;
use crate::door::Asker;
use crate::page::{Fields, ListQuery};
use crate::read::{JSON_LIMIT, object};
use crate::refused::{Refused, invalid};
use crate::wish;
use crate::work::{Done, Hearing, answer};

const LONGEST_KEY: usize = 255;

/// Which fields to show.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetQuery {
    fields: Option<String>,
}

/// `POST /v1/machines`: goes on although its client goes away.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let key = key(&headers)?;
    let new = wish::read(object(request.into_body(), JSON_LIMIT).await?)?;
    let (who, desk_app) = (asker.clone(), app.clone());
    let work = move |progress: Progress| async move {
        let machine = desk_app.server.desk.create(&who.asked(key, progress), new).await?;
        note_machine(&machine);
        Ok(done(&desk_app, StatusCode::CREATED, &machine).await)
    };
    answer(&app, &asker, Hearing::of(&headers), work).await
}

/// `GET /v1/machines`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<Value>>, Refused> {
    let selection = query.understand()?;
    let machines = app.server.desk.list(&asker.owner).await?;
    let possible = possible(&app).await;
    Ok(axum::Json(selection.page(machines.iter().map(|machine| MachineInfo::of(machine, &possible)))))
}

/// `GET /v1/machines/{id}`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<GetQuery>,
) -> Result<axum::Json<Value>, Refused> {
    let machine = app.server.desk.find(&asker.owner, &reference).await?;
    note_machine(&machine);
    let fields = Fields::read(query.fields.as_deref());
    Ok(axum::Json(fields.show(&MachineInfo::of(&machine, &possible(&app).await))))
}

/// `POST /v1/machines/{id}/start`.
pub(crate) async fn start(
    app: State<Arc<App>>,
    asker: Extension<Asker>,
    reference: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    command(app, asker, reference, &headers, Command::Start).await
}

/// `POST /v1/machines/{id}/stop`.
pub(crate) async fn stop(
    app: State<Arc<App>>,
    asker: Extension<Asker>,
    reference: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    command(app, asker, reference, &headers, Command::Stop).await
}

/// `POST /v1/machines/{id}/pause`.
pub(crate) async fn pause(
    app: State<Arc<App>>,
    asker: Extension<Asker>,
    reference: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    command(app, asker, reference, &headers, Command::Pause).await
}

/// `POST /v1/machines/{id}/hibernate`.
pub(crate) async fn hibernate(
    app: State<Arc<App>>,
    asker: Extension<Asker>,
    reference: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    command(app, asker, reference, &headers, Command::Hibernate).await
}

/// `POST /v1/machines/{id}/resume`.
pub(crate) async fn resume(
    app: State<Arc<App>>,
    asker: Extension<Asker>,
    reference: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    command(app, asker, reference, &headers, Command::Resume).await
}

/// `DELETE /v1/machines/{id}`.
pub(crate) async fn destroy(
    app: State<Arc<App>>,
    asker: Extension<Asker>,
    reference: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    command(app, asker, reference, &headers, Command::Destroy).await
}

async fn command(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    headers: &HeaderMap,
    command: Command,
) -> Result<Response, Refused> {
    let (who, desk_app) = (asker.clone(), app.clone());
    let work = move |progress: Progress| async move {
        let machine = desk_app.server.desk.command(&who.asked(None, progress), &reference, command).await?;
        note_machine(&machine);
        Ok(done(&desk_app, StatusCode::OK, &machine).await)
    };
    answer(&app, &asker, Hearing::of(headers), work).await
}

/// A machine at the end of long work. A destroyed one is told in the contract's short form.
async fn done(app: &App, status: StatusCode, machine: &Machine) -> Done {
    let info = MachineInfo::of(machine, &possible(app).await);
    let line = ProgressLine::Machine(Box::new(info.clone()));
    match info.status {
        Status::Destroyed => Done::new(status, &Destroyed { id: info.id, status: Status::Destroyed }, line),
        Status::Creating | Status::Running | Status::Paused | Status::Error => Done::new(status, &info, line),
    }
}

/// The commands that this server and its host can carry out now.
async fn possible(app: &App) -> Vec<Command> {
    match app.server.desk.offers().await {
        Ok(offer) => CARRIED_OUT.into_iter().filter(|command| offer.commands.contains(command)).collect(),
        // A host that cannot run machines can still remove them.
        Err(_) => vec![Command::Destroy],
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => Err(invalid(format!("{IDEMPOTENCY_KEY}: 1 to {LONGEST_KEY} printable characters"))),
    }
}
