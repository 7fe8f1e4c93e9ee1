//! The table of routes. What is not in it is 501, so that clients know that it may come.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};

use crate::route::{
    attach, exec, files, images, logs, machines, network, project, raw_file, server, services, templates, usage,
};
use crate::{App, door};

/// Every route, behind the door. `POST /v1/templates/build` is the contract's (a stream of another
/// kind, from another body); ours for the server's own templates is below `local`.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(server::health))
        .route("/v1/version", get(server::version))
        .route("/v1/events", get(server::events))
        .route("/v1/server/shutdown", post(server::shutdown))
        .route("/v1/templates", get(templates::list).post(templates::create))
        .route("/v1/templates/{name}", delete(templates::remove))
        .route("/v1/templates/local/{name}/build", post(templates::build))
        .route("/v1/images", get(images::list))
        .route("/v1/images/prune", post(images::prune))
        .route("/v1/images/{id}", delete(images::remove))
        .route("/v1/usage", get(usage::list))
        .route("/v1/machines", get(machines::list).post(machines::create))
        .route("/v1/machines/{id}", get(machines::get).delete(machines::destroy))
        .route("/v1/machines/{id}/start", post(machines::start))
        .route("/v1/machines/{id}/stop", post(machines::stop))
        .route("/v1/machines/{id}/pause", post(machines::pause))
        .route("/v1/machines/{id}/hibernate", post(machines::hibernate))
        .route("/v1/machines/{id}/resume", post(machines::resume))
        .route("/v1/machines/{id}/exec", post(exec::run))
        .route("/v1/machines/{id}/attach", get(attach::attach))
        .route("/v1/machines/{id}/logs", get(logs::read))
        .route("/v1/machines/{id}/egress", get(network::egress).patch(network::set_egress))
        .route("/v1/machines/{id}/egress/explain", get(network::explain))
        .route("/v1/machines/{id}/ports", get(network::ports).post(network::add_ports))
        .route("/v1/machines/{id}/ports/{transport}/{listen}", delete(network::remove_port))
        .route("/v1/machines/{id}/usage", get(usage::get))
        .route("/v1/machines/{id}/metrics", get(usage::metrics))
        .merge(of_files())
        .merge(of_projects())
        .fallback(door::nothing_here)
        .method_not_allowed_fallback(door::nothing_here)
        // Bodies are bounded where they are read; a raw file has no bound.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.clone(), door::pass))
        .with_state(app)
}

/// A machine's files.
fn of_files() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/machines/{id}/files", get(files::list))
        .route("/v1/machines/{id}/files/read", post(files::read))
        .route("/v1/machines/{id}/files/write", post(files::write))
        .route("/v1/machines/{id}/files/exists", post(files::exists))
        .route("/v1/machines/{id}/files/info", post(files::info))
        .route("/v1/machines/{id}/files/remove", post(files::remove))
        .route("/v1/machines/{id}/files/mkdir", post(files::make_folder))
        .route("/v1/machines/{id}/file", get(raw_file::read).put(raw_file::write).post(raw_file::write))
}

/// What a machine does for a project.
fn of_projects() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/machines/{id}/services", get(services::list).put(services::set))
        .route("/v1/machines/{id}/services/{name}/{turn}", post(services::turn))
        .route("/v1/machines/{id}/services/{name}/logs", get(services::logs))
        .route("/v1/machines/{id}/listeners", get(project::listeners))
        .route("/v1/machines/{id}/secrets", put(project::put_secrets))
        .route("/v1/machines/{id}/user", put(project::ensure_user))
}
