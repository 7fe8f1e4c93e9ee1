//! Accepts connections, and ends them in order.
//!
//! ```text
//! Accepting ──shutdown──▶ Ending: idle connections close, endless streams end, work gets its grace ──▶ done
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::door::Peer;
use crate::load::Looks;
use crate::{App, Server, routes};

/// How long requests under way may take to end. What is cut off goes on at the next start.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait after a connection that could not be accepted: no descriptors are left.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes, then lets what is under way end. The socket's file is left to
/// the wiring, which made it.
pub async fn serve(listener: UnixListener, server: Server, shutdown: impl Future<Output = ()>) {
    let app =
        Arc::new(App { server, ending: CancellationToken::new(), tasks: TaskTracker::new(), looks: Looks::default() });
    let router = routes::router(app.clone());
    let connections = TaskTracker::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(attend(stream, router.clone(), app.ending.clone()));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
    // Refuse new connections at once, so that a client starts the next server.
    drop(listener);
    app.ending.cancel();
    connections.close();
    app.tasks.close();
    let all = async { tokio::join!(connections.wait(), app.tasks.wait()) };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        warn!(connections = connections.len(), tasks = app.tasks.len(), "ending with work under way");
    }
}

/// One connection, until it ends or the server does.
async fn attend(stream: UnixStream, router: Router, ending: CancellationToken) {
    let peer = match stream.peer_cred() {
        Ok(credentials) => Peer { uid: credentials.uid() },
        Err(error) => {
            warn!(%error, "cannot tell who connects");
            return;
        }
    };
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await.map_err(|never: Infallible| never) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke");
    }
}
