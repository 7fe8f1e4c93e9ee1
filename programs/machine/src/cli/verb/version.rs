//! `version`: this program's, and the server's if one runs. Starts none.

use machine_sdk::api::server::VersionInfo;
use serde_json::json;

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::table::{Cell, pairs};

const OURS: &str = env!("CARGO_PKG_VERSION");

/// Prints versions.
pub(crate) async fn version(desk: &Desk) -> Result<u8, Failure> {
    let server = match desk.link.client_if_there().await? {
        Some(client) => Some(client.version().await?),
        None => None,
    };
    let voice = &desk.voice;
    if voice.json() {
        let mut document = json!({ "client": { "version": OURS } });
        if let Some(server) = server {
            document["server"] = json!(server);
        }
        voice.document(&document)?;
    } else if voice.bare() {
        voice.print(OURS)?;
    } else {
        let none = || format!("none runs (home {})", desk.context.home.display());
        let told = server.map_or_else(none, |server| described(&server));
        voice.print(&pairs(&[("client", Cell::from(OURS)), ("server", Cell::from(told))], voice.out.paint))?;
    }
    Ok(0)
}

fn described(server: &VersionInfo) -> String {
    let guests = server.accelerator.as_ref().map(|how| format!(", {how}")).unwrap_or_default();
    format!("{} (pid {}, home {}{guests})", server.version, server.pid, server.home)
}
