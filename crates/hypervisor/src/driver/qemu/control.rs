//! QEMU's dialect of `Control`, over QMP.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::qmp::{Event, Qmp};
use super::{root_disk, shares, state};
use crate::boot_plan::Share;
use crate::driver::{Attached, Control, ControlError, GuestEnd, Port, Seen, VmmStatus};

/// A QEMU that does not answer these in ten seconds hangs; a busy host makes them take milliseconds.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// Between two tries to reach a socket that is not there yet.
const RETRY: Duration = Duration::from_millis(2);

/// One running QEMU.
#[derive(Debug, Clone)]
pub struct QemuControl {
    qmp: Qmp,
    end: watch::Receiver<Option<GuestEnd>>,
}

impl QemuControl {
    /// Connects and greets. QEMU makes its socket early and greets once it can take commands.
    pub async fn connect(socket: &Path, within: Duration) -> Result<Self, ControlError> {
        let deadline = Instant::now() + within;
        let stream = loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => break stream,
                Err(source) if Instant::now() >= deadline => {
                    return Err(ControlError::Connect { socket: socket.to_owned(), source });
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let (qmp, events) = Qmp::greet(stream, left).await?;
        let (noted, end) = watch::channel(None);
        tokio::spawn(note_end(events, noted));
        Ok(Self { qmp, end })
    }

    /// What QEMU reports from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.qmp.events()
    }

    pub(super) fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    async fn tell(&self, command: &'static str) -> Result<(), ControlError> {
        self.qmp.execute(command, None, ANSWER).await.map(drop)
    }
}

#[async_trait]
impl Control for QemuControl {
    async fn status(&self) -> Result<VmmStatus, ControlError> {
        const COMMAND: &str = "query-status";
        let answer = self.qmp.execute(COMMAND, None, ANSWER).await?;
        let garbled = |what: String| ControlError::Garbled { command: COMMAND, what };
        let status = answer.get("status").cloned().unwrap_or(Value::Null);
        let state: RunState = serde_json::from_value(status).map_err(|error| garbled(error.to_string()))?;
        Ok(state.meaning())
    }

    async fn pause(&self) -> Result<(), ControlError> {
        self.tell("stop").await
    }

    async fn resume(&self) -> Result<(), ControlError> {
        self.tell("cont").await
    }

    async fn press_power_button(&self) -> Result<(), ControlError> {
        self.tell("system_powerdown").await
    }

    async fn save_state(&self, file: &Path) -> Result<(), ControlError> {
        state::save(self, file).await
    }

    async fn load(&self, state: &Path) -> Result<(), ControlError> {
        state::load(self, state).await
    }

    async fn loaded(&self, within: Duration) -> Result<(), ControlError> {
        state::loaded(self, within).await
    }

    async fn resize_root(&self, bytes: u64) -> Result<(), ControlError> {
        root_disk::grow(&self.qmp, bytes).await
    }

    async fn shares(&self) -> Result<Vec<Seen>, ControlError> {
        shares::all(&self.qmp).await
    }

    async fn attach(&self, share: &Share, at: Option<Port>, within: Duration) -> Result<Attached, ControlError> {
        shares::attach(&self.qmp, share, at, within).await
    }

    async fn quit(&self) -> Result<(), ControlError> {
        match self.tell("quit").await {
            // It may end before its answer is out.
            Ok(()) | Err(ControlError::Closed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ended(&self) -> GuestEnd {
        let mut end = self.end.clone();
        let said = end.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        said.unwrap_or(GuestEnd::Unsaid)
    }
}

/// Kept aside, so that an end is not missed by who asks after it. Goes when the conversation does.
async fn note_end(mut events: broadcast::Receiver<Event>, noted: watch::Sender<Option<GuestEnd>>) {
    loop {
        match events.recv().await {
            Ok(event) if event.name == "SHUTDOWN" => {
                noted.send_replace(Some(guest_end(&event)));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn guest_end(event: &Event) -> GuestEnd {
    match event.data["reason"].as_str() {
        Some("guest-shutdown") => GuestEnd::PoweredOff,
        Some("guest-reset" | "guest-panic") => GuestEnd::Reset,
        // The host's reasons: host-qmp-quit, host-signal and their like.
        Some(_) | None => GuestEnd::Quit,
    }
}

/// QEMU's own words, all of them as of 10.0.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RunState {
    Debug,
    Inmigrate,
    InternalError,
    IoError,
    Paused,
    Postmigrate,
    Prelaunch,
    FinishMigrate,
    RestoreVm,
    Running,
    SaveVm,
    Shutdown,
    Suspended,
    Watchdog,
    GuestPanicked,
    Colo,
}

impl RunState {
    fn meaning(self) -> VmmStatus {
        match self {
            Self::Prelaunch | Self::Inmigrate | Self::RestoreVm => VmmStatus::Starting,
            Self::Running | Self::Suspended => VmmStatus::Running,
            Self::Paused | Self::Postmigrate | Self::FinishMigrate | Self::SaveVm | Self::Debug | Self::Colo => {
                VmmStatus::Paused
            }
            Self::Shutdown => VmmStatus::Ended,
            Self::InternalError | Self::IoError | Self::Watchdog | Self::GuestPanicked => VmmStatus::Broken,
        }
    }
}
