//! The way to the server. If nobody listens, one is started for this user, detached, and it is said once.
//!
//! ```text
//! ask ──▶ somebody listens ──▶ call ──broken, unreachable──▶ ask again, a few times
//!  └──nobody──▶ start ──▶ it answers | it ended at once | deadline
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machine_sdk::api::Code;
use machine_sdk::{Client, SdkError};
use tokio::time::Instant;

use super::Context;
use super::exit::Failure;
use super::voice::Voice;

/// How long a server may take until it answers.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long another server is waited for after ours gave way to it.
const GRACE: Duration = Duration::from_secs(3);
/// How often a call is made whose connection breaks; each is safe to repeat.
const TRIES: u32 = 5;
/// How much of the server's log is shown when it cannot be started.
const TAIL: u64 = 2000;

/// The way to the server.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    program: PathBuf,
    home: PathBuf,
    log: PathBuf,
    voice: Voice,
    reached: AtomicBool,
}

/// Whether somebody answers at the socket.
enum Listening {
    Yes,
    Nobody,
    /// Somebody does, but it makes no sense yet, or it is not for us.
    Unclear(SdkError),
}

impl Link {
    /// The way to the server of this context. Nothing is sent yet.
    pub(crate) fn new(context: &Context, voice: Voice) -> Self {
        Self {
            client: Client::unix(&context.socket),
            program: context.program.clone(),
            home: context.home.clone(),
            log: context.server_log.clone(),
            voice,
            reached: AtomicBool::new(false),
        }
    }

    /// Whether a server ever answered: until then nothing was asked of one.
    pub(crate) fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// A client of a server that answers; starts one if nobody listens.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let until = Instant::now() + GRACE;
        loop {
            match self.listening().await {
                Listening::Yes => return Ok(self.client.clone()),
                Listening::Nobody => return self.start().await,
                Listening::Unclear(error) if Instant::now() >= until => return Err(error.into()),
                Listening::Unclear(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// A client, if somebody listens; starts nothing.
    pub(crate) async fn client_if_there(&self) -> Result<Option<Client>, Failure> {
        match self.listening().await {
            Listening::Yes => Ok(Some(self.client.clone())),
            Listening::Nobody => Ok(None),
            Listening::Unclear(error) => Err(error.into()),
        }
    }

    /// Makes a call that is safe to repeat, and repeats it if the connection breaks.
    pub(crate) async fn ask<T>(&self, mut call: impl AsyncFnMut(&Client) -> Result<T, SdkError>) -> Result<T, Failure> {
        let mut tried = 0;
        loop {
            let client = self.client().await?;
            let error = match call(&client).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tried += 1;
            match error {
                SdkError::Unreachable { .. } | SdkError::Broken { .. } if tried < TRIES => {
                    if tried == 1 && matches!(error, SdkError::Broken { .. }) {
                        self.voice.say("the connection to the server broke; asking again");
                    }
                    tokio::time::sleep(Duration::from_millis(100) * tried).await;
                }
                SdkError::Refused(..) | SdkError::Unreachable { .. } | SdkError::Broken { .. } => {
                    return Err(error.into());
                }
            }
        }
    }

    async fn listening(&self) -> Listening {
        match self.client.health().await {
            Ok(_) => {
                self.reached.store(true, Ordering::Relaxed);
                Listening::Yes
            }
            Err(SdkError::Unreachable { source, .. }) if nobody(&source) => Listening::Nobody,
            Err(error) => Listening::Unclear(error),
        }
    }

    async fn start(&self) -> Result<Client, Failure> {
        let (mut child, log_before) = self.spawn()?;
        let (deadline, mut pause) = (Instant::now() + DEADLINE, Duration::from_millis(10));
        let mut gave_way = None;
        loop {
            if matches!(self.listening().await, Listening::Yes) {
                if gave_way.is_none() {
                    self.voice.say(&format!("started the server (pid {})", child.id()));
                }
                return Ok(self.client.clone());
            }
            if gave_way.is_none() && matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                // Two were started at once, perhaps, and the other one goes on.
                gave_way = Some(Instant::now());
            }
            let given_up = gave_way.is_some_and(|since| since.elapsed() > GRACE);
            if given_up || Instant::now() > deadline {
                return Err(self.not_started(&mut child, log_before));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(200));
        }
    }

    fn spawn(&self) -> Result<(Child, u64), Failure> {
        let cannot = |error: &io::Error| Failure::path("cannot open the server's log", &self.log, error);
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder).map_err(|error| cannot(&error))?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(|error| cannot(&error))?;
        let before = log.metadata().map_or(0, |metadata| metadata.len());
        let again = log.try_clone().map_err(|error| cannot(&error))?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--on-demand"]).stdin(Stdio::null()).stdout(log).stderr(again);
        // It does not begin where we are: a home that was named from here is another from there.
        command.env("MACHINE_HOME", &self.home);
        // A group of its own: our terminal's Ctrl-C is not the server's. It makes its own session.
        let child = command.process_group(0).current_dir("/").spawn();
        let child = child.map_err(|error| Failure::path("cannot start the server with", &self.program, &error))?;
        Ok((child, before))
    }

    fn not_started(&self, child: &mut Child, log_before: u64) -> Failure {
        let how = match child.try_wait() {
            Ok(Some(status)) => format!("it ended at once ({status})"),
            Ok(None) | Err(_) => format!("it does not answer after {} s", DEADLINE.as_secs()),
        };
        let said = self.log_since(log_before).unwrap_or_default();
        let said = if said.is_empty() { said } else { format!("\n{said}") };
        Failure::new(Code::InternalError, format!("cannot start the server: {how}{said}"))
            .reason("server_not_started")
            .hint(format!("see {}, or run `machine serve` to watch it", self.log.display()))
    }

    /// The last of what the server wrote since.
    fn log_since(&self, before: u64) -> io::Result<String> {
        let mut file = File::open(&self.log)?;
        let length = file.metadata()?.len();
        let from = before.max(length.saturating_sub(TAIL)).min(length);
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(TAIL).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
    }
}

/// A socket file that nobody listens on is nobody.
fn nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(nobody(&std::os::unix::net::UnixStream::connect(&path).unwrap_err()));
        assert!(nobody(&std::os::unix::net::UnixStream::connect(folder.path().join("none")).unwrap_err()));
        assert!(!nobody(&io::Error::from(io::ErrorKind::PermissionDenied)));
    }
}
