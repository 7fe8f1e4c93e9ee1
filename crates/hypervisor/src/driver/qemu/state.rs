//! Saving and loading the state of the devices, without the memory: that is a file of its own.
//!
//! ```text
//! Paused ──xen-save-devices-state──▶ Paused, and a file        -incoming file ─────────────▶ inmigrate ──▶ Paused
//!                                          -incoming defer ──▶ waits ──migrate-incoming──────┘
//! ```
//! Despite its name the command has nothing to do with Xen: it writes what a migration writes, less RAM and ROM.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::QemuControl;
use super::control::ANSWER;
use crate::driver::{Control, ControlError, VmmStatus};
use crate::whole_file;

const SAVE: &str = "xen-save-devices-state";
const BEGIN: &str = "migrate-incoming";
const LOAD: &str = "loading the saved state";

/// It waits for the disk's pending writes and writes a few hundred KiB.
const SAVED: Duration = Duration::from_secs(60);

/// More than a state has, and so more than what did not fit.
const TRIAL: usize = 1 << 20;

pub(super) async fn save(control: &QemuControl, file: &Path) -> Result<(), ControlError> {
    let failed = |reason: String| ControlError::NotSaved { file: file.to_owned(), reason };
    // A running machine would be stopped and continued, and its memory would be another than its devices'.
    match control.status().await? {
        VmmStatus::Paused => {}
        other => return Err(failed(format!("the machine is not paused: {other:?}"))),
    }
    let path = file.to_str().ok_or_else(|| failed("its path is not UTF-8 text".to_owned()))?;
    // QEMU would overwrite.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|error| not_made(file, &error))?;
    let arguments = json!({ "filename": path, "live": false });
    let saved = control.qmp().execute(SAVE, Some(arguments), SAVED).await;
    saved.map(drop).map_err(|error| {
        let full = is_full(file);
        let _ = whole_file::remove(file);
        match error {
            ControlError::Refused { .. } if full => ControlError::DiskFull { file: file.to_owned() },
            ControlError::Refused { reason, .. } => failed(reason),
            other => other,
        }
    })
}

fn not_made(file: &Path, error: &io::Error) -> ControlError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ControlError::DiskFull { file: file.to_owned() },
        _ => ControlError::NotSaved { file: file.to_owned(), reason: error.to_string() },
    }
}

/// QEMU does not say why it failed; whether we fail too, where it stopped, does.
fn is_full(file: &Path) -> bool {
    let tried = File::options().append(true).open(file).and_then(|mut file| file.write_all(&vec![0; TRIAL]));
    tried.is_err_and(|error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// Where QEMU is told that a state is.
pub(super) fn address(file: &str) -> String {
    format!("file:{file}")
}

/// Begins to load into a VMM that waits for it.
pub(super) async fn load(control: &QemuControl, file: &Path) -> Result<(), ControlError> {
    let refused = |reason: String| ControlError::NotLoaded { reason };
    let path = file.to_str().ok_or_else(|| refused("its path is not UTF-8 text".to_owned()))?;
    let asked = control.qmp().execute(BEGIN, Some(json!({ "uri": address(path) })), ANSWER).await;
    asked.map(drop).map_err(|error| match error {
        ControlError::Refused { reason, .. } => refused(reason),
        other => other,
    })
}

pub(super) async fn loaded(control: &QemuControl, within: Duration) -> Result<(), ControlError> {
    let waited = tokio::time::timeout(within, until_loaded(control)).await;
    waited.unwrap_or(Err(ControlError::Silent { command: LOAD, within }))
}

async fn until_loaded(control: &QemuControl) -> Result<(), ControlError> {
    // Before the question, so that what happens between the two is heard.
    let mut events = control.events();
    let refused = |reason: String| ControlError::NotLoaded { reason };
    loop {
        match control.status().await? {
            VmmStatus::Starting => {}
            VmmStatus::Paused | VmmStatus::Running => return Ok(()),
            VmmStatus::Ended | VmmStatus::Broken => return Err(refused("the VMM is broken".to_owned())),
        }
        loop {
            match events.recv().await {
                Ok(event) if event.name == "MIGRATION" && event.data["status"] == "completed" => break,
                Ok(event) if event.name == "MIGRATION" && event.data["status"] == "failed" => {
                    return Err(refused("it is damaged, or not of this machine".to_owned()));
                }
                Ok(_) => {}
                // What was lost may have been the one that we wait for.
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return Err(ControlError::Closed { command: LOAD }),
            }
        }
    }
}
