//! The door: who asks, the request's id, its span in the log, and that a route which panics is an
//! answer, too. Writes the body of every refusal.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::HeaderValue;
use machine_api::REQUEST_ID;
use machine_core::{Code, Owner, Progress, Refusal};
use machine_engine::Asked;
use tracing::{Instrument as _, debug, error, info_span};

use crate::App;
use crate::refused::{Refused, invalid, not_implemented, render};

const LONGEST_REQUEST_ID: usize = 128;
const LONGEST_COMPLAINT: usize = 1000;

/// The user at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) owner: Owner,
    pub(crate) request_id: String,
}

impl Asker {
    /// As the engine wants it.
    pub(crate) fn asked(&self, key: Option<String>, progress: Progress) -> Asked {
        Asked { owner: self.owner.clone(), key, request: Some(self.request_id.clone()), progress }
    }
}

/// Every request passes here.
pub(crate) async fn pass(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let request_id = request_id(&request);
    let span = info_span!(
        "request",
        request = %request_id,
        method = %request.method(),
        path = request.uri().path(),
        machine = tracing::field::Empty,
    );
    let peer = request.extensions().get::<Peer>().copied();
    let response = match peer.filter(|peer| may_enter(peer.uid, app.server.uid)) {
        Some(peer) => {
            let owner = Owner::local_user(peer.uid);
            request.extensions_mut().insert(Asker { owner, request_id: request_id.clone() });
            survive(next.run(request).instrument(span.clone())).await
        }
        None => Refused(
            Refusal::new(Code::PermissionDenied, "this server belongs to another user of this computer")
                .hint("each user has an own server: unset MACHINE_HOME, or ask the owner"),
        )
        .into_response(),
    };
    async move { finish(response, &request_id).await }.instrument(span).await
}

/// Only the server's own user and root.
const fn may_enter(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// The answer, also of a route that panics.
async fn survive(answer: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        error!(panic = words, "a route panicked");
        Refused(Refusal::new(Code::InternalError, "the server failed at this request").hint("look at the server's log"))
            .into_response()
    })
}

/// Writes the body of a refusal and the request's id.
async fn finish(mut response: Response, request_id: &str) -> Response {
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        debug!(code = refusal.code.word(), %refusal, "refused");
        response = render(refusal, request_id);
    } else if response.status().is_client_error() || response.status().is_server_error() {
        response = render(plain_refusal(response).await, request_id);
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// What the framework refused by itself, in its own words: a query, a path, an upgrade.
async fn plain_refusal(response: Response) -> Refusal {
    let status = response.status();
    let words = to_bytes(response.into_body(), LONGEST_COMPLAINT).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words).into_owned();
    if status.is_server_error() {
        return Refusal::new(Code::InternalError, format!("the server failed at this request: {words}"));
    }
    invalid(if words.is_empty() { format!("the request cannot be understood: {status}") } else { words })
}

/// The client's own id for the request if it is printable, else a fresh one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fit =
        |id: &&str| (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    given.filter(fit).map_or_else(fresh_request_id, str::to_owned)
}

fn fresh_request_id() -> String {
    // An id only has to tell requests apart in a log; without randomness it says so.
    getrandom::u64().map_or_else(|_| "no-randomness".to_owned(), |number| format!("{number:016x}"))
}

/// Everything that has no route, or not with this method.
pub(crate) async fn nothing_here(request: Request) -> Refused {
    Refused(
        not_implemented(format!("not implemented: {} {}", request.method(), request.uri().path()))
            .hint("this version of the server does not have this route"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_user_and_root_may_enter() {
        assert!(may_enter(1000, 1000) && may_enter(0, 1000));
        assert!(!may_enter(1001, 1000) && !may_enter(1000, 0));
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let response = survive(async { panic!("on purpose") }).await;
        let response = finish(response, "r1").await;
        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        let body: machine_api::ErrorBody = serde_json::from_slice(&body).unwrap();
        assert_eq!((body.error.code.as_str(), body.error.request_id.as_str()), ("internal_error", "r1"));
    }
}
