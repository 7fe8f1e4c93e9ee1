//! The server's own log: to stderr for a person; on demand to a file in the home, with one older beside it.

use std::fs::OpenOptions;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::Caller;
use crate::settings::Settings;

const LARGEST: u64 = 4 << 20;
const ALWAYS: &str = "info";

/// Begins to log.
///
/// # Errors
/// If the file cannot be opened, or MACHINE_LOG is no filter.
pub(super) fn begin(settings: &Settings, caller: Caller) -> anyhow::Result<()> {
    let wanted = settings.log.as_deref().unwrap_or(ALWAYS);
    let filter = EnvFilter::try_new(wanted).with_context(|| format!("MACHINE_LOG is no filter: {wanted}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    match caller {
        Caller::Person => builder.with_writer(std::io::stderr).init(),
        Caller::CommandLine => {
            // Out of the caller's session: closing its terminal must not end us. It fails only for
            // one who leads a session already, and that is as good.
            let _ = rustix::process::setsid();
            let path = settings.server_log();
            if std::fs::metadata(&path).is_ok_and(|log| log.len() > LARGEST) {
                let _ = std::fs::rename(&path, path.with_extension("log.1"));
            }
            let file = OpenOptions::new().append(true).create(true).open(&path);
            let file = file.with_context(|| format!("cannot open {}", path.display()))?;
            builder.with_writer(Mutex::new(file)).init();
        }
    }
    Ok(())
}
