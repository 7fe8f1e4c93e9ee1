//! The handle on a guest: one method, one request.
//!
//! ```text
//! connect ──Welcome──▶ up ──stream lost, or the guest lies──▶ down (closed() says why)
//! ```

use crate::carrier::{Ask, Carrier, Doors};
use crate::connection::Connection;
use crate::error::GuestError;
use crate::exec::{ExecInput, ExecStream};
use crate::file::{FileReader, FileWriter};
use crate::stream::{Came, Receiver, Ways};
use bytes::BytesMut;
use machine_agent_protocol::{
    Answer, Connect, Entry, Exec, FileStat, HostConnection, Identify, List, Measure, Measured, Mkdir, Ping, PowerOff,
    Read, Remove, Rename, Request, SetClock, Settle, Settled, Stat, WakeAs, Welcome, Woken, Write,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// No listing is longer, in bytes.
const LISTING_LIMIT: usize = 64 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A connection to one guest's agent. Clones are the same connection; it is closed when the last
/// one is dropped.
#[derive(Debug, Clone)]
pub struct GuestLink {
    ways: Ways,
}

impl GuestLink {
    /// Greets the agent at the other end of `stream`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If there is no welcome before `deadline`.
    pub async fn connect<S>(stream: S, deadline: Instant) -> Result<(Self, Welcome), GuestError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let began = Instant::now();
        let (ask_door, asks) = mpsc::channel(256);
        let (notice_door, notices) = mpsc::unbounded_channel();
        let (down_door, down) = watch::channel(None);
        let (welcome_door, welcome) = oneshot::channel();
        let connection = HostConnection::new(nonce(), env!("CARGO_PKG_VERSION"));
        let doors = Doors { asks, notices, welcome: Some(welcome_door), down: down_door };
        tokio::spawn(Carrier::new(stream, connection, doors).run());
        let link = Self { ways: Ways { asks: ask_door, notices: notice_door, down } };
        match tokio::time::timeout_at(deadline, welcome).await {
            Ok(Ok(welcome)) => Ok((link, welcome)),
            Ok(Err(_)) => Err(link.closed().await),
            Err(_) => Err(GuestError::NoAnswer { waited: began.elapsed() }),
        }
    }

    /// Waits until somebody listens at the unix socket, then greets the agent there.
    ///
    /// # Errors
    /// If there is no socket, or no welcome, before `deadline`.
    pub async fn connect_unix(path: &Path, deadline: Instant) -> Result<(Self, Welcome), GuestError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => return Self::connect(stream, deadline).await,
                Err(error) if Instant::now() + pause >= deadline => {
                    return Err(GuestError::Connect { path: path.to_owned(), source: Arc::new(error) });
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until the link is down and says why.
    pub async fn closed(&self) -> GuestError {
        self.ways.why_down().await
    }

    /// Whether the link is down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ways.down.borrow().is_some()
    }

    /// Runs a command. Answers once it runs.
    ///
    /// # Errors
    /// If it cannot be started, or the link is down.
    pub async fn exec(&self, exec: Exec) -> Result<ExecStream, GuestError> {
        let mut receiver = self.open(exec).await?;
        let input = ExecInput { sender: receiver.sender() };
        match receiver.next("exec").await? {
            Came::Answer(Answer::Started(started)) => {
                Ok(ExecStream { receiver: Some(receiver), input, pid: started.pid })
            }
            Came::Last(Answer::Started(started)) => Ok(ExecStream { receiver: None, input, pid: started.pid }),
            Came::Answer(_) | Came::Last(_) | Came::Data(..) | Came::End => {
                Err(GuestError::Unexpected { question: "exec" })
            }
        }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn read(&self, read: Read) -> Result<FileReader, GuestError> {
        let mut receiver = self.open(read).await?;
        let Came::Answer(Answer::Opened(opened)) = receiver.next("read").await? else {
            return Err(GuestError::Unexpected { question: "read" });
        };
        Ok(FileReader { receiver, stat: opened.stat, done: false })
    }

    /// Opens a file for writing. Whether the guest can is known at the first write that it
    /// refuses, or at the end.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn write(&self, write: Write) -> Result<FileWriter, GuestError> {
        Ok(FileWriter { receiver: self.open(write).await? })
    }

    /// Connects to a service on the guest's own loopback.
    ///
    /// # Errors
    /// If nobody listens there, or the link is down.
    pub async fn dial(&self, connect: Connect) -> Result<Connection, GuestError> {
        let mut receiver = self.open(connect).await?;
        let Came::Answer(Answer::Connected(_)) = receiver.next("connect").await? else {
            return Err(GuestError::Unexpected { question: "connect" });
        };
        Ok(Connection::new(receiver, connect.transport))
    }

    /// Lists a folder.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn list(&self, list: List) -> Result<Vec<Entry>, GuestError> {
        let mut receiver = self.open(list).await?;
        let mut bytes = BytesMut::new();
        loop {
            match receiver.next("list").await? {
                Came::Data(_, more) if bytes.len() + more.len() > LISTING_LIMIT => {
                    return Err(GuestError::TooLarge { limit: LISTING_LIMIT });
                }
                Came::Data(_, more) => bytes.extend_from_slice(&more),
                Came::Last(Answer::Done(_)) => break,
                Came::Last(_) => return Err(GuestError::Unexpected { question: "list" }),
                Came::Answer(_) | Came::End => {}
            }
        }
        Entry::decode_all(&bytes).map_err(|_| GuestError::Unexpected { question: "list" })
    }

    /// Describes a file.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn stat(&self, stat: Stat) -> Result<FileStat, GuestError> {
        let Answer::Status(stat) = self.last("stat", stat).await? else {
            return Err(GuestError::Unexpected { question: "stat" });
        };
        Ok(stat)
    }

    /// Removes a file or folder.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn remove(&self, remove: Remove) -> Result<(), GuestError> {
        self.done("remove", remove).await
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn mkdir(&self, mkdir: Mkdir) -> Result<(), GuestError> {
        self.done("mkdir", mkdir).await
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn rename(&self, rename: Rename) -> Result<(), GuestError> {
        self.done("rename", rename).await
    }

    /// Sets the guest's wall clock.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn set_clock(&self, now: SystemTime) -> Result<(), GuestError> {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix_nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.done("set the clock", SetClock { unix_nanos }).await
    }

    /// Tells the guest who it is.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn identify(&self, identify: Identify) -> Result<(), GuestError> {
        self.done("identify", identify).await
    }

    /// Makes the guest a machine.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn wake_as(&self, wake: WakeAs) -> Result<Woken, GuestError> {
        let Answer::Woken(woken) = self.last("wake as", wake).await? else {
            return Err(GuestError::Unexpected { question: "wake as" });
        };
        Ok(woken)
    }

    /// Brings the guest to rest, so that it can be kept, trusting these certificate authorities.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn settle(&self, authorities: Vec<String>) -> Result<Settled, GuestError> {
        let settle = Settle { certificate_authorities: Some(authorities) };
        let Answer::Settled(settled) = self.last("settle", settle).await? else {
            return Err(GuestError::Unexpected { question: "settle" });
        };
        Ok(settled)
    }

    /// Asks how the guest is.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn measure(&self) -> Result<Measured, GuestError> {
        let Answer::Measured(measured) = self.last("measure", Measure {}).await? else {
            return Err(GuestError::Unexpected { question: "measure" });
        };
        Ok(measured)
    }

    /// Asks whether the agent is there.
    ///
    /// # Errors
    /// If the link is down.
    pub async fn ping(&self) -> Result<(), GuestError> {
        let Answer::Pong(_) = self.last("ping", Ping {}).await? else {
            return Err(GuestError::Unexpected { question: "ping" });
        };
        Ok(())
    }

    /// Powers the guest off; answers before it begins. [`Self::closed`] tells when it is over.
    ///
    /// # Errors
    /// If the agent is not the guest's init, or the link is down.
    pub async fn power_off(&self, grace: Duration) -> Result<(), GuestError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.done("power off", PowerOff { grace_ms }).await
    }

    pub(crate) async fn open(&self, request: impl Into<Request>) -> Result<Receiver, GuestError> {
        let (reply, opened) = oneshot::channel();
        self.ways.ask(Ask::Open { request: Box::new(request.into()), reply }).await?;
        match opened.await {
            Ok(opened) => Ok(Receiver::new(opened?, self.ways.clone())),
            Err(_) => Err(self.closed().await),
        }
    }

    pub(crate) async fn last(&self, question: &'static str, request: impl Into<Request>) -> Result<Answer, GuestError> {
        self.open(request).await?.last(question).await
    }

    pub(crate) async fn done(&self, question: &'static str, request: impl Into<Request>) -> Result<(), GuestError> {
        let Answer::Done(_) = self.last(question, request).await? else {
            return Err(GuestError::Unexpected { question });
        };
        Ok(())
    }
}

fn nonce() -> u64 {
    // Without randomness a session still works; an old welcome is then told apart by the pid.
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
}
