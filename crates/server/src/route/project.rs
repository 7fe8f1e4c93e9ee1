//! What a machine does for a project: who listens in it, its secrets, its user. Nothing of it is on record.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{StatusCode, header};
use machine_api::NDJSON;
use machine_api::project::{EnsureUser, ListenerInfo, ListenerLine, MachineListeners, PutSecrets};
use machine_core::Refusal;
use machine_core::promise::guest::GuestError;
use machine_core::promise::project::{Following, GuestProject, ListenerSource};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::place::{Place, Subject};
use crate::App;
use crate::door::Asker;
use crate::read::{Json, typed};
use crate::refused::{Refused, invalid};

/// Whether what comes later is told, too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenersQuery {
    #[serde(default)]
    follow: bool,
}

async fn find(app: &App, asker: &Asker, reference: &str) -> Result<Place<dyn GuestProject>, Refusal> {
    Place::find(app, asker, reference, (Subject::Project, |guest| guest.project())).await
}

/// `GET /v1/machines/{id}/listeners`; followed, a line for each change.
pub(crate) async fn listeners(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<ListenersQuery>,
) -> Result<Response, Refused> {
    let place = find(&app, &asker, &reference).await?;
    let following = if query.follow { Following::Yes } else { Following::No };
    let mut source = place.guest.listeners(following).await.map_err(|error| place.refusal(error))?;
    // Asked for at once: a guest that cannot says so before anything is answered.
    let first = source.next().await.map_err(|error| place.refusal(error))?.unwrap_or_default();
    if !query.follow {
        let listeners = first.opened.into_iter().map(ListenerInfo::from).collect();
        let machine_id = place.machine.id.to_string();
        return Ok(axum::Json(MachineListeners { machine_id, listeners }).into_response());
    }
    let first = stream::iter([Ok(line(&first.into()))]);
    let lines = first.chain(stream::try_unfold(source, next_line)).take_until(app.ending.clone().cancelled_owned());
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

type Source = Box<dyn ListenerSource>;

async fn next_line(mut source: Source) -> Result<Option<(Bytes, Source)>, GuestError> {
    Ok(source.next().await?.map(|news| (line(&news.into()), source)))
}

fn line(news: &ListenerLine) -> Bytes {
    let mut line = serde_json::to_vec(news).expect("a line has text keys and cannot fail to serialize");
    line.push(b'\n');
    line.into()
}

/// `PUT /v1/machines/{id}/secrets`: these, and no others.
pub(crate) async fn put_secrets(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<Map<String, Value>>,
) -> Result<StatusCode, Refused> {
    let secrets = secrets(wish)?.into();
    let place = find(&app, &asker, &reference).await?;
    place.guest.put_secrets(&secrets).await.map_err(|error| place.refusal(error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read by hand: the usual complaint quotes what it does not understand.
fn secrets(mut wish: Map<String, Value>) -> Result<PutSecrets, Refusal> {
    let Some(Value::Object(said)) = wish.remove("secrets") else {
        return Err(invalid("secrets: not an object of names and texts"));
    };
    let mut secrets = BTreeMap::new();
    for (name, value) in said {
        let Value::String(value) = value else { return Err(invalid(format!("secrets.{name:.64}: not a text"))) };
        secrets.insert(name, value);
    }
    wish.insert("secrets".to_owned(), Value::Object(Map::new()));
    let rest: PutSecrets = typed(wish)?;
    Ok(PutSecrets { secrets, ..rest })
}

/// `PUT /v1/machines/{id}/user`. A repeat is success.
pub(crate) async fn ensure_user(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<EnsureUser>,
) -> Result<StatusCode, Refused> {
    let place = find(&app, &asker, &reference).await?;
    place.guest.ensure_user(&wish.into()).await.map_err(|error| place.refusal(error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_complaint_quotes_a_secret() {
        let read = |wish: Value| secrets(wish.as_object().cloned().unwrap_or_default());
        assert_eq!(read(json!({"secrets": {"A": "b"}, "uid": 7})).unwrap().secrets["A"], "b");
        for bad in [json!({"secrets": {"A": 4711}}), json!({"secrets": "4711"}), json!({"secrets": {"A": ["4711"]}})] {
            let refusal = read(bad).unwrap_err();
            assert!(refusal.message.starts_with("secrets") && !refusal.message.contains("4711"), "{}", refusal.message);
        }
        assert!(read(json!({"secrets": {}, "typo": 1})).is_err());
    }
}
