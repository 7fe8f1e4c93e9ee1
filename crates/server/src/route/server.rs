//! The server itself: health, version, events, its end.

use std::sync::Arc;

use axum::extract::{Query, State};
use http::StatusCode;
use machine_api::event::{EventInfo, Events};
use machine_api::server::{CapacityInfo, Health, Shutdown, VersionInfo};
use serde::Deserialize;

use crate::App;
use crate::read::Json;
use crate::refused::{Refused, invalid};

const EVENTS: u32 = 100;
const MOST_EVENTS: u32 = 1000;

/// Which events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

/// `GET /healthz`.
pub(crate) async fn health() -> axum::Json<Health> {
    axum::Json(Health { status: "ok".to_owned() })
}

/// `GET /v1/version`: answers also on a host that cannot run machines.
pub(crate) async fn version(State(app): State<Arc<App>>) -> axum::Json<VersionInfo> {
    let desk = &app.server.desk;
    let (offer, sharing) = tokio::join!(desk.offers(), desk.sharing());
    let offer = offer.ok();
    let capacity = |cpus, memory: machine_core::MiB| CapacityInfo { vcpus: cpus, memory_mb: memory.0 };
    axum::Json(VersionInfo {
        version: app.server.about.version.clone(),
        pid: std::process::id(),
        home: app.server.about.home.clone(),
        capacity: offer.as_ref().map(|offer| capacity(offer.capacity.cpus, offer.capacity.memory)),
        accelerator: offer.map(|offer| offer.accelerator),
        folders: sharing.ok().map(Into::into),
    })
}

/// `GET /v1/events`.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Query(query): Query<EventsQuery>,
) -> Result<axum::Json<Events>, Refused> {
    let limit = query.limit.unwrap_or(EVENTS);
    if !(1..=MOST_EVENTS).contains(&limit) {
        return Err(invalid(format!("limit: out of range: {limit} (1 to {MOST_EVENTS})")).into());
    }
    let events = app.server.desk.events(query.after, limit).await?;
    let events: Vec<EventInfo> = events.into_iter().map(Into::into).collect();
    let last = events.last().map_or(query.after, |event| event.number);
    Ok(axum::Json(Events { events, last }))
}

/// `POST /v1/server/shutdown`: tells the wiring and answers at once.
pub(crate) async fn shutdown(
    State(app): State<Arc<App>>,
    Json(wish): Json<Shutdown>,
) -> (StatusCode, axum::Json<Health>) {
    // A full or closed channel: the wiring knows already.
    let _ = app.server.farewell.try_send(wish.machines);
    (StatusCode::ACCEPTED, axum::Json(Health { status: "ending".to_owned() }))
}
