//! Figures of machines that run: what they cost this host, and how their guests are. Wakes nobody.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, Query, State};
use futures::future::join_all;
use jiff::Timestamp;
use machine_api::usage::memory_used;
use machine_api::{MachineMetrics, UsageInfo};
use machine_core::promise::awakening::Vitals;
use machine_core::promise::provider::Usage;
use machine_core::{Machine, Refusal};
use serde::Deserialize;

use super::note_machine;
use crate::App;
use crate::door::Asker;
use crate::load::busy_percent;
use crate::refused::Refused;

/// How long guests may take to say how much memory they use; all are asked at once. Under emulation the first
/// answer after a restore takes some 200 ms.
const GUESTS_ANSWER: Duration = Duration::from_millis(400);
/// Between two looks at a guest's processors, where there was none of late.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Whether guests are asked, too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    #[serde(default)]
    guest: bool,
}

/// `GET /v1/usage`: each running machine's, oldest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Query(query): Query<UsageQuery>,
) -> Result<axum::Json<Vec<UsageInfo>>, Refused> {
    let usages = app.server.desk.usages(&asker.owner).await?;
    let shown = usages.iter().map(|(machine, usage)| show(&app, &asker, &query, machine, usage));
    Ok(axum::Json(join_all(shown).await))
}

/// `GET /v1/machines/{id}/usage`.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Result<axum::Json<UsageInfo>, Refused> {
    let (machine, usage) = app.server.desk.usage(&asker.owner, &reference).await?;
    note_machine(&machine);
    Ok(axum::Json(show(&app, &asker, &query, &machine, &usage).await))
}

async fn show(app: &App, asker: &Asker, query: &UsageQuery, machine: &Machine, usage: &Usage) -> UsageInfo {
    let info = UsageInfo::of(machine, usage, Timestamp::now());
    if !query.guest {
        return info;
    }
    let vitals = app.server.desk.vitals(&asker.owner, machine.id.as_str());
    // A guest that is busy, lost or gone has no figure; what the host sees of it is told all the same.
    let answered = tokio::time::timeout(GUESTS_ANSWER, vitals).await.ok().and_then(Result::ok);
    UsageInfo { guest_used_bytes: answered.map(|(_, vitals)| memory_used(&vitals)), ..info }
}

/// `GET /v1/machines/{id}/metrics`: the contract's list; ours has one element, of now.
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
) -> Result<axum::Json<Vec<MachineMetrics>>, Refused> {
    let (machine, vitals) = app.server.desk.vitals(&asker.owner, &reference).await?;
    note_machine(&machine);
    let (vitals, percent) = load(&app, &asker, &machine, vitals).await?;
    Ok(axum::Json(vec![MachineMetrics::of(&vitals, percent, Timestamp::now())]))
}

/// How busy a guest was since it was last looked at, or for a moment from now.
async fn load(app: &App, asker: &Asker, machine: &Machine, now: Vitals) -> Result<(Vitals, f64), Refusal> {
    if let Some(percent) = app.looks.since_last(machine, &now) {
        return Ok((now, percent));
    }
    tokio::time::sleep(BETWEEN_LOOKS).await;
    let (machine, later) = app.server.desk.vitals(&asker.owner, machine.id.as_str()).await?;
    app.looks.keep(&machine, &later);
    // Counters that stand still say that nothing was done.
    let percent = busy_percent(&now, &later).unwrap_or(0.0);
    Ok((later, percent))
}
