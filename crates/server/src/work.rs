//! Long work: it goes on although its client goes away, and tells its stages if asked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use machine_api::{ErrorBody, NDJSON, ProgressLine, ReportInfo};
use machine_core::stage::Report;
use machine_core::{Code, Progress, Refusal};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::App;
use crate::door::Asker;
use crate::refused::Refused;

/// Reports that wait for a slow client; more are passed over, since telling must not block the work.
const REPORTS: usize = 1024;
/// Reports may come a moment after the end: they are passed on by tasks of their own.
const LAST_REPORTS: Duration = Duration::from_millis(100);

/// How a client wants to hear of long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// Its end only, with a fitting status.
    End,
    /// Every stage as a line, then the end; the status is 200 in any case.
    Lines,
}

/// What long work ended with, in both ways to tell it.
pub(crate) struct Done {
    pub(crate) line: ProgressLine,
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Hearing {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains(NDJSON));
        if headers.get_all(header::ACCEPT).iter().any(accepts) { Self::Lines } else { Self::End }
    }
}

impl Done {
    pub(crate) fn new(status: StatusCode, body: &impl Serialize, line: ProgressLine) -> Self {
        let body = serde_json::to_vec(body).expect("our wire types have text keys and cannot fail to serialize");
        Self { line, status, body }
    }
}

/// Does long work and answers as the client wants to hear of it.
pub(crate) async fn answer<W>(
    app: &Arc<App>,
    asker: &Asker,
    hearing: Hearing,
    work: impl FnOnce(Progress) -> W,
) -> Result<Response, Refused>
where
    W: Future<Output = Result<Done, Refusal>> + Send + 'static,
{
    match hearing {
        Hearing::End => {
            let task = app.tasks.spawn(work(Progress::silent()).in_current_span());
            let done = ended(task).await?;
            Ok((done.status, [(header::CONTENT_TYPE, "application/json")], done.body).into_response())
        }
        Hearing::Lines => {
            let (tell, reports) = mpsc::channel(REPORTS);
            let progress = Progress::new(move |report| {
                let _ = tell.try_send(report);
            });
            let task = app.tasks.spawn(work(progress).in_current_span());
            let (lines, mut queue) = mpsc::channel(16);
            app.tasks.spawn(write_lines(task, reports, lines, asker.request_id.clone()).in_current_span());
            let body = Body::from_stream(futures::stream::poll_fn(move |context| queue.poll_recv(context)));
            Ok(([(header::CONTENT_TYPE, NDJSON)], body).into_response())
        }
    }
}

async fn ended(task: JoinHandle<Result<Done, Refusal>>) -> Result<Done, Refusal> {
    task.await.unwrap_or_else(|panicked| {
        tracing::error!(%panicked, "work broke");
        Err(Refusal::new(Code::InternalError, "the server failed at this request").hint("look at the server's log"))
    })
}

type Line = Result<Bytes, std::convert::Infallible>;

/// Writes reports as they come and the end after them. A client that went away changes nothing.
async fn write_lines(
    task: JoinHandle<Result<Done, Refusal>>,
    mut reports: mpsc::Receiver<Report>,
    lines: mpsc::Sender<Line>,
    request_id: String,
) {
    let end = ended(task);
    tokio::pin!(end);
    let end = loop {
        tokio::select! {
            biased;
            Some(report) = reports.recv() => send(&lines, report).await,
            end = &mut end => break end,
        }
    };
    let last_reports = async {
        while let Some(report) = reports.recv().await {
            send(&lines, report).await;
        }
    };
    let _ = tokio::time::timeout(LAST_REPORTS, last_reports).await;
    let last = match end {
        Ok(done) => done.line,
        Err(refusal) => ProgressLine::Error(ErrorBody::of(refusal, &request_id).error),
    };
    let _ = lines.send(Ok(line(&last))).await;
}

async fn send(lines: &mpsc::Sender<Line>, report: Report) {
    let _ = lines.send(Ok(line(&ProgressLine::Report(ReportInfo::from(report))))).await;
}

fn line(line: &ProgressLine) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("our wire types have text keys and cannot fail to serialize");
    text.push(b'\n');
    text.into()
}
