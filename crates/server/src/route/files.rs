//! Files as JSON: small ones whole, and what surrounds them. Raw bytes are in `raw_file.rs`.

use std::sync::Arc;

use axum::extract::{Extension, Path, Query, State};
use bytes::Bytes;
use data_encoding::BASE64;
use http::StatusCode;
use machine_api::file::{Encoding, ExistsResponse, FileInfo, PathRequest, ReadRequest, ReadResponse, WriteRequest};
use machine_core::promise::guest::{self, GuestError, GuestFiles, WriteOptions};
use machine_core::{Code, Machine, Refusal};
use serde::Deserialize;

use super::note_machine;
use crate::App;
use crate::door::Asker;
use crate::read::{FILE_LIMIT, Json};
use crate::refused::{Refused, invalid, not_implemented};

/// How much of a file is read into JSON; larger ones are read raw.
const MOST_READ: usize = 16 << 20;
const DEEPEST: u32 = 64;

/// Which folder, and how deep.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    path: String,
    depth: Option<u32>,
    user: Option<String>,
}

/// A guest's files, and the path meant.
pub(crate) struct Place {
    pub(crate) files: Arc<dyn GuestFiles>,
    pub(crate) path: String,
    machine: String,
}

impl Place {
    /// Finds the machine's files. A relative path begins at the machine's folder, if it has one.
    pub(crate) async fn find(app: &App, asker: &Asker, reference: &str, path: &str) -> Result<Self, Refusal> {
        if path.is_empty() || path.contains('\0') {
            return Err(invalid("path: empty, or with a NUL byte"));
        }
        let (machine, guest) = app.server.desk.guest(&asker.owner, reference).await?;
        note_machine(&machine);
        Ok(Self { files: guest.files(), path: absolute(&machine, path)?, machine: machine.called().to_owned() })
    }

    /// What the guest's error means, with the machine's name.
    pub(crate) fn refusal(&self, error: GuestError) -> Refusal {
        Refusal::from(error).about(&self.machine)
    }
}

/// Where relative paths begin unless the machine says otherwise (contract, P0.3).
const WORKDIR: &str = "/workspace";

fn absolute(machine: &Machine, path: &str) -> Result<String, Refusal> {
    if path.is_empty() {
        return Err(invalid("path: empty"));
    }
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let cwd = machine.spec.cwd.as_deref().unwrap_or(WORKDIR);
    Ok(format!("{}/{path}", cwd.trim_end_matches('/')))
}

/// These operations are the guest's root's; another user's rights cannot be taken yet.
fn only_root(user: Option<&str>) -> Result<(), Refusal> {
    match user {
        None | Some("root" | "0") => Ok(()),
        Some(_) => Err(not_implemented("user: not implemented for this operation in this version")),
    }
}

/// `GET /v1/machines/{id}/files`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Vec<FileInfo>>, Refused> {
    only_root(query.user.as_deref())?;
    let depth = query.depth.unwrap_or(1);
    if !(1..=DEEPEST).contains(&depth) {
        return Err(invalid(format!("depth: out of range: {depth} (1 to {DEEPEST})")).into());
    }
    let place = Place::find(&app, &asker, &reference, &query.path).await?;
    let found = place.files.list(&place.path, depth).await.map_err(|error| place.refusal(error))?;
    Ok(axum::Json(found.into_iter().map(FileInfo::from).collect()))
}

/// `POST /v1/machines/{id}/files/read`.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<ReadRequest>,
) -> Result<axum::Json<ReadResponse>, Refused> {
    let place = Place::find(&app, &asker, &reference, &wish.path).await?;
    let content = read_whole(&place, wish.user.as_deref()).await?;
    let size = content.len() as u64;
    let content = match wish.encoding {
        Encoding::Base64 => BASE64.encode(&content),
        Encoding::Utf8 => String::from_utf8(content).map_err(|_| {
            Refusal::new(Code::FileError, format!("not UTF-8: {}", place.path)).hint("read it with encoding base64")
        })?,
    };
    Ok(axum::Json(ReadResponse { content, encoding: wish.encoding, size }))
}

async fn stat(place: &Place) -> Result<guest::FileInfo, Refusal> {
    place.files.stat(&place.path).await.map_err(|error| place.refusal(error))
}

async fn read_whole(place: &Place, user: Option<&str>) -> Result<Vec<u8>, Refusal> {
    let (_, mut source) = place.files.read(&place.path, user).await.map_err(|error| place.refusal(error))?;
    let mut content = Vec::new();
    while let Some(bytes) = source.next().await.map_err(|error| place.refusal(error))? {
        if content.len() + bytes.len() > MOST_READ {
            return Err(Refusal::new(
                Code::FileError,
                format!("too large for JSON: {} (more than {} MiB)", place.path, MOST_READ >> 20),
            )
            .hint("read it raw: GET /v1/machines/{id}/file?path="));
        }
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}

/// `POST /v1/machines/{id}/files/write`.
pub(crate) async fn write(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<WriteRequest, FILE_LIMIT>,
) -> Result<axum::Json<FileInfo>, Refused> {
    let content = match wish.encoding {
        Encoding::Utf8 => wish.content.into_bytes(),
        Encoding::Base64 => {
            BASE64.decode(wish.content.as_bytes()).map_err(|error| invalid(format!("content: not base64: {error}")))?
        }
    };
    let place = Place::find(&app, &asker, &reference, &wish.path).await?;
    let mut sink = place
        .files
        .write(&place.path, WriteOptions { mode: None, user: wish.user })
        .await
        .map_err(|error| place.refusal(error))?;
    sink.write(Bytes::from(content)).await.map_err(|error| place.refusal(error))?;
    sink.finish().await.map_err(|error| place.refusal(error))?;
    Ok(axum::Json(stat(&place).await?.into()))
}

/// `POST /v1/machines/{id}/files/exists`.
pub(crate) async fn exists(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<PathRequest>,
) -> Result<axum::Json<ExistsResponse>, Refused> {
    only_root(wish.user.as_deref())?;
    let place = Place::find(&app, &asker, &reference, &wish.path).await?;
    match place.files.stat(&place.path).await {
        Ok(_) => Ok(axum::Json(ExistsResponse { exists: true })),
        Err(GuestError::NotFound(_)) => Ok(axum::Json(ExistsResponse { exists: false })),
        Err(error) => Err(place.refusal(error).into()),
    }
}

/// `POST /v1/machines/{id}/files/info`.
pub(crate) async fn info(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<PathRequest>,
) -> Result<axum::Json<FileInfo>, Refused> {
    only_root(wish.user.as_deref())?;
    let place = Place::find(&app, &asker, &reference, &wish.path).await?;
    Ok(axum::Json(stat(&place).await?.into()))
}

/// `POST /v1/machines/{id}/files/remove`.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<PathRequest>,
) -> Result<StatusCode, Refused> {
    only_root(wish.user.as_deref())?;
    let place = Place::find(&app, &asker, &reference, &wish.path).await?;
    place.files.remove(&place.path).await.map_err(|error| place.refusal(error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/machines/{id}/files/mkdir`.
pub(crate) async fn make_folder(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<PathRequest>,
) -> Result<StatusCode, Refused> {
    only_root(wish.user.as_deref())?;
    let place = Place::find(&app, &asker, &reference, &wish.path).await?;
    place.files.make_folder(&place.path).await.map_err(|error| place.refusal(error))?;
    Ok(StatusCode::NO_CONTENT)
}
