//! One file as raw bytes, streamed both ways: neither end holds it whole.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use machine_core::promise::guest::{FileSink, FileSource, GuestError, WriteOptions};
use machine_core::{Code, Refusal};
use serde::Deserialize;

use super::files::Place;
use crate::App;
use crate::door::Asker;
use crate::refused::{Refused, invalid, not_implemented};

/// How much of an upload that was refused is read and thrown away, so that its client hears why
/// instead of a broken pipe.
const MOST_DRAINED: usize = 64 << 20;

/// Which file, and how it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileQuery {
    path: String,
    user: Option<String>,
    mode: Option<String>,
}

/// `GET /v1/machines/{id}/file`. A file that cannot be read to its end breaks the connection.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<FileQuery>,
) -> Result<Response, Refused> {
    if query.mode.is_some() {
        return Err(invalid("mode: belongs to writing").into());
    }
    let place = Place::find(&app, &asker, &reference, &query.path).await?;
    let (_, source) =
        place.files.read(&place.path, query.user.as_deref()).await.map_err(|error| place.refusal(error))?;
    // No length is promised: the guest may change the file while it is read.
    let body = Body::from_stream(stream::try_unfold(source, piece));
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

type Source = Box<dyn FileSource>;

async fn piece(mut source: Source) -> Result<Option<(bytes::Bytes, Source)>, GuestError> {
    Ok(source.next().await?.map(|bytes| (bytes, source)))
}

/// `PUT` and raw `POST /v1/machines/{id}/file`. A client that goes away leaves nothing of the file.
pub(crate) async fn write(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<FileQuery>,
    request: Request,
) -> Result<StatusCode, Refused> {
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let written = async {
        let (place, sink) = open(&app, &asker, &reference, query, &head.headers).await?;
        fill(&place, sink, &mut body).await
    };
    let written = written.await;
    if written.is_err() {
        drain(&mut body).await;
    }
    written?;
    Ok(StatusCode::NO_CONTENT)
}

async fn open(
    app: &App,
    asker: &Asker,
    reference: &str,
    query: FileQuery,
    headers: &HeaderMap,
) -> Result<(Place, Box<dyn FileSink>), Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("multipart/") {
        return Err(not_implemented("multipart bodies are not implemented in this version").hint("send the bytes raw"));
    }
    let mode = query.mode.as_deref().map(read_mode).transpose()?;
    let place = Place::find(app, asker, reference, &query.path).await?;
    let sink = place.files.write(&place.path, WriteOptions { mode, user: query.user }).await;
    let sink = sink.map_err(|error| place.refusal(error))?;
    Ok((place, sink))
}

async fn fill(
    place: &Place,
    mut sink: Box<dyn FileSink>,
    body: &mut axum::body::BodyDataStream,
) -> Result<(), Refusal> {
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| Refusal::new(Code::FileError, format!("the upload was cut off: {error}")))?;
        sink.write(bytes).await.map_err(|error| place.refusal(error))?;
    }
    sink.finish().await.map_err(|error| place.refusal(error))?;
    Ok(())
}

async fn drain(body: &mut axum::body::BodyDataStream) {
    let mut drained = 0;
    while let Some(Ok(bytes)) = body.next().await {
        drained += bytes.len();
        if drained > MOST_DRAINED {
            return;
        }
    }
}

fn read_mode(text: &str) -> Result<u32, Refusal> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| invalid(format!("mode: not an octal mode: {text}")))
}
