//! Keeps core's promise of a `Guest` over a [`GuestLink`]. Translates words, decides nothing.

mod connection;
pub(crate) mod project;
mod service;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use machine_agent_protocol as wire;
use machine_core::network::Transport;
use machine_core::promise::awakening::{Awakening, Settled, Vitals, Woken};
use machine_core::promise::guest as core;
use machine_core::promise::project::GuestProject;
use tokio::time::Instant;

use crate::waking;
use crate::{ExecEvent, ExecInput, ExecStream, FileReader, FileWriter, GuestError, GuestLink};

/// Reaches agents behind Unix sockets.
pub struct UnixDoor;

struct Linked(GuestLink);

struct Running {
    stream: ExecStream,
    life: core::Life,
    refused: Option<wire::Failed>,
}

struct Input(ExecInput);
struct Source(FileReader);
struct Sink(FileWriter);

#[async_trait]
impl core::GuestDoor for UnixDoor {
    async fn reach(&self, socket: &Path, within: Duration) -> Result<Arc<dyn core::Guest>, core::GuestError> {
        let (link, _welcome) = GuestLink::connect_unix(socket, Instant::now() + within).await?;
        Ok(Arc::new(Linked(link)))
    }
}

#[async_trait]
impl core::Guest for Linked {
    async fn set_clock(&self, now: jiff::Timestamp) -> Result<(), core::GuestError> {
        Ok(self.0.set_clock(now.into()).await?)
    }

    async fn wake_as(&self, awakening: &Awakening) -> Result<Woken, core::GuestError> {
        let wake = waking::to_wake(awakening)?;
        let woken = self.0.wake_as(wake.clone()).await?;
        waking::check_woken(&wake, &woken)?;
        Ok(waking::to_woken(woken))
    }

    async fn settle(&self, authorities: &[String]) -> Result<Settled, core::GuestError> {
        waking::to_settled(self.0.settle(authorities.to_vec()).await?)
    }

    async fn exec(&self, request: core::ExecRequest) -> Result<Box<dyn core::GuestProcess>, core::GuestError> {
        let life = request.life;
        let stream = self.0.exec(to_exec(request)).await?;
        Ok(Box::new(Running { stream, life, refused: None }))
    }

    fn files(&self) -> Arc<dyn core::GuestFiles> {
        Arc::new(Self(self.0.clone()))
    }

    fn project(&self) -> Arc<dyn GuestProject> {
        Arc::new(project::Project(self.0.clone()))
    }

    async fn connect(
        &self,
        port: u16,
        transport: Transport,
    ) -> Result<Box<dyn core::GuestConnection>, core::GuestError> {
        connection::connect(&self.0, port, transport).await
    }

    async fn measure(&self) -> Result<Vitals, core::GuestError> {
        Ok(waking::to_vitals(&self.0.measure().await?))
    }

    async fn power_off(&self, grace: Duration) -> Result<(), core::GuestError> {
        Ok(self.0.power_off(grace).await?)
    }

    fn is_lost(&self) -> bool {
        self.0.is_closed()
    }
}

#[async_trait]
impl core::GuestProcess for Running {
    fn pid(&self) -> u32 {
        self.stream.pid()
    }

    async fn next(&mut self) -> Result<core::ProcessEvent, core::GuestError> {
        loop {
            return match self.stream.next().await? {
                Some(ExecEvent::Stdout(bytes)) => Ok(core::ProcessEvent::Stdout(bytes)),
                Some(ExecEvent::Stderr(bytes)) => Ok(core::ProcessEvent::Stderr(bytes)),
                // A control that the command could not take; its own end follows.
                Some(ExecEvent::Refused(failed)) => {
                    self.refused = Some(failed);
                    continue;
                }
                Some(ExecEvent::Exited(exited)) => Ok(core::ProcessEvent::Exited(to_exit(exited))),
                None if self.life == core::Life::Detached => Ok(core::ProcessEvent::Exited(core::Exit::Detached)),
                None => Err(core::GuestError::Lost),
            };
        }
    }

    fn input(&self) -> Arc<dyn core::ProcessInput> {
        Arc::new(Input(self.stream.input()))
    }
}

#[async_trait]
impl core::ProcessInput for Input {
    async fn write(&self, bytes: Bytes) -> Result<(), core::GuestError> {
        Ok(self.0.stdin(bytes).await?)
    }

    async fn close(&self) -> Result<(), core::GuestError> {
        Ok(self.0.close_stdin().await?)
    }

    async fn signal(&self, signal: i32) -> Result<(), core::GuestError> {
        let number = u32::try_from(signal).map_err(|_| core::GuestError::Invalid(format!("not a signal: {signal}")))?;
        Ok(self.0.signal(number).await?)
    }

    async fn resize(&self, size: core::TerminalSize) -> Result<(), core::GuestError> {
        Ok(self.0.resize(size.cols, size.rows).await?)
    }
}

#[async_trait]
impl core::GuestFiles for Linked {
    async fn read(
        &self,
        path: &str,
        user: Option<&str>,
    ) -> Result<(core::FileInfo, Box<dyn core::FileSource>), core::GuestError> {
        let read = wire::Read { path: path.into(), offset: None, limit: None, user: user.map(to_user) };
        let reader = self.0.read(read).await?;
        let info = to_info(path.to_owned(), reader.stat());
        Ok((info, Box::new(Source(reader))))
    }

    async fn write(
        &self,
        path: &str,
        options: core::WriteOptions,
    ) -> Result<Box<dyn core::FileSink>, core::GuestError> {
        let write = wire::Write {
            path: path.into(),
            mode: options.mode,
            user: options.user.as_deref().map(to_user),
            make_parents: true,
            truncate: true,
        };
        Ok(Box::new(Sink(self.0.write(write).await?)))
    }

    async fn list(&self, path: &str, depth: u32) -> Result<Vec<core::FileInfo>, core::GuestError> {
        let entries = self.0.list(wire::List { path: path.into(), depth, user: None }).await?;
        Ok(entries.iter().map(|entry| to_info(entry.path.to_string(), &entry.stat)).collect())
    }

    async fn stat(&self, path: &str) -> Result<core::FileInfo, core::GuestError> {
        let stat = self.0.stat(wire::Stat { path: path.into(), follow: false, user: None }).await?;
        Ok(to_info(path.to_owned(), &stat))
    }

    async fn remove(&self, path: &str) -> Result<(), core::GuestError> {
        Ok(self.0.remove(wire::Remove { path: path.into(), recursive: true, user: None }).await?)
    }

    async fn make_folder(&self, path: &str) -> Result<(), core::GuestError> {
        Ok(self.0.mkdir(wire::Mkdir { path: path.into(), parents: true, mode: None, user: None }).await?)
    }
}

#[async_trait]
impl core::FileSource for Source {
    async fn next(&mut self) -> Result<Option<Bytes>, core::GuestError> {
        Ok(self.0.chunk().await?)
    }
}

#[async_trait]
impl core::FileSink for Sink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), core::GuestError> {
        Ok(self.0.write(bytes).await?)
    }

    async fn finish(self: Box<Self>) -> Result<u64, core::GuestError> {
        Ok(self.0.finish().await?)
    }
}

pub(crate) fn to_user(text: &str) -> wire::User {
    text.parse().map_or_else(|_| wire::User::Name(text.to_owned()), wire::User::Uid)
}

pub(crate) fn to_command(program: core::Program) -> wire::Command {
    match program {
        core::Program::Argv(argv) => wire::Command::Argv(argv),
        core::Program::Shell(line) => wire::Command::Shell(line),
    }
}

fn to_exec(request: core::ExecRequest) -> wire::Exec {
    wire::Exec {
        command: to_command(request.program),
        cwd: request.cwd.map(Into::into),
        env: request.envs,
        user: request.user.as_deref().map(to_user),
        stdin: match request.stdin {
            core::Stdin::Open => wire::Stdin::Open,
            core::Stdin::Null => wire::Stdin::Null,
        },
        tty: request.terminal.map(|terminal| wire::Tty {
            cols: terminal.size.cols,
            rows: terminal.size.rows,
            term: terminal.kind,
        }),
        timeout_ms: request.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        detach: match request.life {
            core::Life::Attached => false,
            core::Life::Detached => true,
        },
        login: match request.login {
            core::Login::No => None,
            core::Login::Yes => Some(wire::LoginShell::Yes),
        },
        umask: request.umask,
    }
}

fn to_exit(exited: wire::Exited) -> core::Exit {
    if exited.timed_out { core::Exit::TimedOut } else { to_ending(exited.ending) }
}

pub(crate) fn to_ending(ending: wire::Ending) -> core::Exit {
    match ending {
        wire::Ending::Code(code) => core::Exit::Code(i32::try_from(code).unwrap_or(i32::MAX)),
        wire::Ending::Signal(signal) => core::Exit::Signal(i32::try_from(signal).unwrap_or(i32::MAX)),
    }
}

fn to_info(path: String, stat: &wire::FileStat) -> core::FileInfo {
    core::FileInfo {
        path,
        kind: match stat.kind {
            wire::FileKind::File => core::FileKind::File,
            wire::FileKind::Directory => core::FileKind::Folder,
            wire::FileKind::Symlink => core::FileKind::Symlink,
            wire::FileKind::Other => core::FileKind::Other,
        },
        size: stat.size,
        mode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
        // A guest that lies about a time it cannot have gets the epoch.
        modified: jiff::Timestamp::from_nanosecond(i128::from(stat.modified_nanos)).unwrap_or_default(),
        target: stat.target.as_ref().map(ToString::to_string),
    }
}

impl From<GuestError> for core::GuestError {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Connect { .. } | GuestError::LinkLost { .. } => Self::Lost,
            GuestError::NoAnswer { waited } => Self::Late(waited),
            GuestError::Protocol { source } => Self::Garbage(source.to_string()),
            GuestError::Failed(failed) => of_failure(failed),
            GuestError::Reset { .. } | GuestError::Unexpected { .. } | GuestError::TooLarge { .. } => {
                Self::Garbage(error.to_string())
            }
            GuestError::Closed => Self::Failed(error.to_string()),
            GuestError::NotAsked(_) | GuestError::Datagram(_) => Self::Invalid(error.to_string()),
        }
    }
}

fn of_failure(failed: wire::Failed) -> core::GuestError {
    let wire::Failed { code, message } = failed;
    match code {
        wire::FailureCode::NotFound => core::GuestError::NotFound(message),
        wire::FailureCode::ProgramNotFound => core::GuestError::ProgramNotFound(message),
        wire::FailureCode::NotExecutable => core::GuestError::NotExecutable(message),
        wire::FailureCode::NoSpace => core::GuestError::NoSpace(message),
        wire::FailureCode::Invalid | wire::FailureCode::UserUnknown => core::GuestError::Invalid(message),
        wire::FailureCode::Unsupported => core::GuestError::Unsupported(message),
        wire::FailureCode::PermissionDenied
        | wire::FailureCode::NotADirectory
        | wire::FailureCode::AlreadyExists
        | wire::FailureCode::IsDirectory
        | wire::FailureCode::Io
        | wire::FailureCode::NotEmpty
        | wire::FailureCode::Refused
        | wire::FailureCode::Unrecognized(_) => core::GuestError::Failed(message),
    }
}
