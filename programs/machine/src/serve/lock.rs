//! One server a home: an advisory lock on a file that also names the server's process.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::Caller;
use crate::settings::Settings;

/// How long a server that was told to end may take.
const ENDING: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Held while this server lives; the kernel gives it back, however the server ends.
pub(super) struct HomeLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl HomeLock {
    /// Takes the home, or says who has it. A server that is started on demand waits for one that is ending,
    /// and is not needed (`None`) where one answers: two clients may have called one at once.
    ///
    /// # Errors
    /// If another server has it.
    pub(super) async fn take(settings: &Settings, caller: Caller) -> anyhow::Result<Option<Self>> {
        let path = settings.home.join("server.pid");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.with_context(|| format!("cannot open {}", path.display()))?;
        let deadline = match caller {
            Caller::Person => Instant::now(),
            Caller::CommandLine => Instant::now() + ENDING,
        };
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() < deadline {
                if UnixStream::connect(settings.socket()).await.is_ok() {
                    return Ok(None);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            bail!("a server for this home runs already (pid {}); `machine serve --stop` ends it", pid.trim());
        }
        file.set_len(0).and_then(|()| file.rewind()).context("cannot write the server's pid")?;
        writeln!(file, "{}", std::process::id()).context("cannot write the server's pid")?;
        Ok(Some(Self(file)))
    }
}
