//! Logs as they were written: to their present end, or followed while the machine runs.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header;
use machine_api::NDJSON;
use machine_core::{Machine, Refusal, State as Rest};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::note_machine;
use crate::door::Asker;
use crate::log_news::news;
use crate::refused::{Refused, not_implemented};
use crate::{App, Server};

/// The most of a network's log that is shown, in bytes.
const MOST: usize = 2 << 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Which log, and whether it is followed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogsQuery {
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    follow: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Boot,
    Network,
    Agent,
}

impl Kind {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Boot | Self::Agent => "text/plain; charset=utf-8",
            Self::Network => NDJSON,
        }
    }
}

/// `GET /v1/machines/{id}/logs`.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Refused> {
    let machine = app.server.desk.find(&asker.owner, &reference).await?;
    note_machine(&machine);
    let read = Reading { app: app.clone(), asker, machine, kind: query.kind };
    let log = read.look().await?;
    let body = if query.follow {
        let (tell, mut told) = mpsc::channel(1);
        app.tasks.spawn(read.follow(log, tell));
        Body::from_stream(futures::stream::poll_fn(move |context| told.poll_recv(context)))
    } else {
        Body::from(log)
    };
    Ok(([(header::CONTENT_TYPE, query.kind.media_type())], body).into_response())
}

type Told = Result<Bytes, Refusal>;

/// Who reads which log of which machine.
struct Reading {
    app: Arc<App>,
    asker: Asker,
    machine: Machine,
    kind: Kind,
}

impl Reading {
    async fn look(&self) -> Result<Bytes, Refusal> {
        let Server { desk, logs, .. } = &self.app.server;
        match self.kind {
            Kind::Boot => logs.boot_log(&self.machine.id).await,
            Kind::Network => desk.network_log(&self.asker.owner, self.machine.id.as_str(), MOST).await,
            Kind::Agent => Err(not_implemented("kind: the agent's log cannot be read in this version")),
        }
    }

    /// Tells what is new until the machine runs no more, the client goes away, or the server ends.
    async fn follow(self, mut seen: Bytes, tell: mpsc::Sender<Told>) {
        if !seen.is_empty() && tell.send(Ok(seen.clone())).await.is_err() {
            return;
        }
        loop {
            // Asked before the last look: what was written until then is told.
            let goes_on = self.is_on().await;
            let now = match self.look().await {
                Ok(now) => now,
                Err(refusal) => {
                    let _ = tell.send(Err(refusal)).await;
                    return;
                }
            };
            let new = now.slice(news(&seen, &now)..);
            seen = now;
            if !new.is_empty() && tell.send(Ok(new)).await.is_err() {
                return;
            }
            if !goes_on {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(BETWEEN_LOOKS) => {}
                () = self.app.ending.cancelled() => return,
                () = tell.closed() => return,
            }
        }
    }

    /// Whether the machine runs or is on its way there.
    async fn is_on(&self) -> bool {
        let found = self.app.server.desk.find(&self.asker.owner, self.machine.id.as_str()).await;
        found.is_ok_and(|machine| match machine.state {
            Rest::Running | Rest::Paused => true,
            Rest::Absent | Rest::Stopped | Rest::Hibernated | Rest::Failed | Rest::Destroyed => machine.open.is_some(),
        })
    }
}
