//! Programs that a machine keeps running: the guest keeps them, and is asked each time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use http::header;
use machine_api::service::{MachineServices, ServiceInfo, SetServices, TurnWord};
use machine_core::promise::guest::{FileSource, GuestError};
use machine_core::promise::project::Following;
use machine_core::promise::service::{GuestServices, MOST_SERVICES, ServiceStatus};
use machine_core::{Machine, Refusal};
use serde::Deserialize;

use super::place::{self, Subject};
use crate::App;
use crate::door::Asker;
use crate::read::Json;
use crate::refused::{Refused, invalid};
use crate::wish::check_envs;

/// How much of a log, and whether it is followed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogsQuery {
    #[serde(default)]
    follow: bool,
    tail: Option<u32>,
}

type Place = place::Place<dyn GuestServices>;

async fn find(app: &App, asker: &Asker, reference: &str) -> Result<Place, Refusal> {
    Place::find(app, asker, reference, (Subject::Service, |guest| guest.project().services())).await
}

fn told(machine: &Machine, services: Vec<ServiceStatus>) -> axum::Json<MachineServices> {
    let services = services.into_iter().map(ServiceInfo::of).collect();
    axum::Json(MachineServices { machine_id: machine.id.to_string(), services })
}

/// `GET /v1/machines/{id}/services`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
) -> Result<axum::Json<MachineServices>, Refused> {
    let place = find(&app, &asker, &reference).await?;
    let services = place.guest.list().await.map_err(|error| place.refusal(error))?;
    Ok(told(&place.machine, services))
}

/// `PUT /v1/machines/{id}/services`: these, and no others.
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<SetServices>,
) -> Result<axum::Json<MachineServices>, Refused> {
    if wish.services.len() > MOST_SERVICES {
        return Err(invalid(format!("services: at most {MOST_SERVICES}")).into());
    }
    let mut services = Vec::new();
    for service in wish.services {
        check_envs(service.envs.keys())?;
        services.push(service.understand().map_err(|why| invalid(format!("services: {why}")))?);
    }
    let place = find(&app, &asker, &reference).await?;
    for service in &mut services {
        service.cwd = service.cwd.take().or_else(|| place.machine.spec.cwd.clone());
    }
    let services = place.guest.set(services).await.map_err(|error| place.refusal(error))?;
    Ok(told(&place.machine, services))
}

/// `POST /v1/machines/{id}/services/{name}/start`, `stop` and `restart`: answers when it is done.
pub(crate) async fn turn(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((reference, name, turn)): Path<(String, String, String)>,
) -> Result<axum::Json<ServiceInfo>, Refused> {
    let all = [TurnWord::Start, TurnWord::Stop, TurnWord::Restart];
    let turn = all.into_iter().find(|word| word.as_str() == turn);
    let turn = turn.ok_or_else(|| invalid("a service is started, stopped or restarted: start, stop, restart"))?;
    let place = find(&app, &asker, &reference).await?;
    let status = place.guest.turn(&name, turn.into()).await.map_err(|error| place.refusal(error))?;
    Ok(axum::Json(ServiceInfo::of(status)))
}

/// `GET /v1/machines/{id}/services/{name}/logs`.
pub(crate) async fn logs(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((reference, name)): Path<(String, String)>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Refused> {
    let place = find(&app, &asker, &reference).await?;
    let following = if query.follow { Following::Yes } else { Following::No };
    let log = place.guest.log(&name, following, query.tail).await.map_err(|error| place.refusal(error))?;
    let pieces = stream::try_unfold(log, piece).take_until(app.ending.clone().cancelled_owned());
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(pieces)).into_response())
}

type Source = Box<dyn FileSource>;

async fn piece(mut source: Source) -> Result<Option<(bytes::Bytes, Source)>, GuestError> {
    Ok(source.next().await?.map(|bytes| (bytes, source)))
}
