//! The server's end. One request at a time; a gateway that does not answer in time is one that does not work.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_core::network::{Forward, NetworkSpec, Transport};
use machine_core::promise::network::{Explanation, Question};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout};

use super::message::{Relayed, Reply, Request, Status};
use super::parcel::{self, Received};
use crate::sys;

/// While a gateway is started anew, its socket is away for a moment.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// A name may have to be asked for at several slow resolvers.
const EXPLAINING: Duration = Duration::from_secs(30);

/// A connection to a gateway.
#[derive(Debug)]
pub struct Client {
    socket: AsyncFd<OwnedFd>,
    path: PathBuf,
    within: Duration,
}

/// What a gateway hands over.
#[derive(Debug)]
pub struct Relay {
    client: Client,
}

/// Why a gateway did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be reached, or the connection broke.
    #[error("cannot speak with the gateway at {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not answer.
    #[error("the gateway at {} did not answer within {within:?}", path.display())]
    Silent {
        /// Where.
        path: PathBuf,
        /// How long it had.
        within: Duration,
    },
    /// It answered something else.
    #[error("the gateway at {} answered what was not asked", path.display())]
    Dialect {
        /// Where.
        path: PathBuf,
    },
    /// It said no. After a `set` that it refused it is closed.
    #[error("the gateway refused: {why}")]
    Refused {
        /// What it said.
        why: String,
    },
}

impl Client {
    /// Reaches the gateway; its socket may appear meanwhile. Each answer may take `within`, too.
    pub async fn connect(path: &Path, within: Duration) -> Result<Self, ControlError> {
        let failed = |source| ControlError::Socket { path: path.to_owned(), source };
        let deadline = Instant::now() + within;
        loop {
            match reach(path) {
                Ok(socket) => {
                    let socket = sys::watched(socket).map_err(failed)?;
                    return Ok(Self { socket, path: path.to_owned(), within });
                }
                Err(error) if may_appear(&error) && Instant::now() < deadline => sleep(ASK_AGAIN).await,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// How it is.
    pub async fn status(&mut self) -> Result<Status, ControlError> {
        match self.ask(&Request::Status, &[], self.within).await? {
            Reply::Status(status) => Ok(status),
            other @ (Reply::Done | Reply::Explained(_) | Reply::Failed { .. }) => Err(self.unexpected(other)),
        }
    }

    /// Has it follow `network`. `listening` are sockets for those of its forwards that are new; all forwards
    /// have a port. All of it is followed, or it is refused and the gateway closed.
    pub async fn set(&mut self, network: &NetworkSpec, listening: Vec<(Forward, OwnedFd)>) -> Result<(), ControlError> {
        let (forwards, sockets): (Vec<_>, Vec<_>) = listening.into_iter().unzip();
        let beside: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        let request = Request::Set { network: network.clone(), listening: forwards };
        match self.ask(&request, &beside, self.within).await? {
            Reply::Done => Ok(()),
            other @ (Reply::Status(_) | Reply::Explained(_) | Reply::Failed { .. }) => Err(self.unexpected(other)),
        }
    }

    /// What would happen to a connection, and why.
    pub async fn explain(&mut self, question: &Question) -> Result<Explanation, ControlError> {
        match self.ask(&Request::Explain(question.clone()), &[], EXPLAINING.max(self.within)).await? {
            Reply::Explained(explanation) => Ok(explanation),
            other @ (Reply::Status(_) | Reply::Done | Reply::Failed { .. }) => Err(self.unexpected(other)),
        }
    }

    /// Becomes the one whom connections for the guest's own loopback are handed to; whoever was, is no more.
    pub async fn relay(self) -> Result<Relay, ControlError> {
        match self.ask(&Request::Relay, &[], self.within).await? {
            Reply::Done => Ok(Relay { client: self }),
            other @ (Reply::Status(_) | Reply::Explained(_) | Reply::Failed { .. }) => Err(self.unexpected(other)),
        }
    }

    async fn ask(&self, request: &Request, beside: &[BorrowedFd<'_>], within: Duration) -> Result<Reply, ControlError> {
        let exchange = async {
            self.send(request, beside).await?;
            match self.receive().await? {
                Received::Message(reply, _) => Ok(reply),
                Received::Garbled(_) => Err(ControlError::Dialect { path: self.path.clone() }),
                Received::End => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
            }
        };
        let silent = |_| ControlError::Silent { path: self.path.clone(), within };
        timeout(within, exchange).await.map_err(silent)?
    }

    async fn send<T: Serialize>(&self, message: &T, beside: &[BorrowedFd<'_>]) -> Result<(), ControlError> {
        loop {
            let mut ready = self.socket.writable().await.map_err(|error| self.broken(error))?;
            if let Ok(sent) = ready.try_io(|socket| parcel::send(socket, message, beside)) {
                return sent.map_err(|error| self.broken(error));
            }
        }
    }

    async fn receive<T: DeserializeOwned>(&self) -> Result<Received<T>, ControlError> {
        loop {
            let mut ready = self.socket.readable().await.map_err(|error| self.broken(error))?;
            if let Ok(received) = ready.try_io(|socket| parcel::receive(socket)) {
                return received.map_err(|error| self.broken(error));
            }
        }
    }

    fn broken(&self, source: io::Error) -> ControlError {
        ControlError::Socket { path: self.path.clone(), source }
    }

    fn unexpected(&self, reply: Reply) -> ControlError {
        match reply {
            Reply::Failed { why } => ControlError::Refused { why },
            Reply::Status(_) | Reply::Done | Reply::Explained(_) => ControlError::Dialect { path: self.path.clone() },
        }
    }
}

impl Relay {
    /// The next connection: the guest's port, and a stream's accepted socket, or one end of a pair that keeps
    /// datagrams whole. Nothing when the gateway is gone, or hands them to another.
    pub async fn next(&mut self) -> Result<Option<(u16, Transport, OwnedFd)>, ControlError> {
        match self.client.receive::<Relayed>().await? {
            Received::End => Ok(None),
            Received::Message(Relayed { port, transport }, beside) => match beside.into_iter().next() {
                Some(socket) => Ok(Some((port, transport, socket))),
                None => Err(ControlError::Dialect { path: self.client.path.clone() }),
            },
            Received::Garbled(_) => Err(ControlError::Dialect { path: self.client.path.clone() }),
        }
    }
}

fn reach(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn may_appear(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock)
}
