//! The gateway's end: who may knock, what they ask, and who is handed relayed connections. What is asked is
//! done elsewhere.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use machine_core::network::Transport;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with};

use super::message::{Relayed, Reply, Request};
use super::parcel::{self, Received};
use crate::gateway::reactor::{Interest, Reactor, Source, Token};
use crate::gateway::slots::{Key, Slots};

/// Servers at once.
const MOST: usize = 16;
const WAITING: i32 = 16;

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Clients {
    door: OwnedFd,
    owner: u32,
    clients: Slots<OwnedFd>,
    relay: Option<Key>,
}

/// What a client wants done.
#[derive(Debug)]
pub(crate) enum Doing {
    /// This; it is owed a reply.
    Asked(Key, Request, Vec<OwnedFd>),
    /// Nothing any more.
    Left,
}

impl Clients {
    /// Listens at `path` for this process's user and root. What a predecessor left there is replaced.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let door = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&door, &SocketAddrUnix::new(path)?)?;
        // Nobody can connect between these two: nobody listens yet.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        listen(&door, WAITING)?;
        let owner = rustix::process::geteuid().as_raw();
        Ok(Self { door, owner, clients: Slots::new(MOST), relay: None })
    }

    /// Is told of who knocks.
    pub(crate) fn register(&self, reactor: &Reactor) -> io::Result<()> {
        reactor.add(&self.door, Token::only(Source::Control), Interest::READ)
    }

    /// Somebody knocked.
    pub(crate) fn knocked(&mut self, reactor: &Reactor) {
        while let Ok(client) = accept_with(&self.door, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            let uid = socket_peercred(&client).map(|who| who.uid.as_raw());
            let known = uid.is_ok_and(|uid| uid == self.owner || uid == 0);
            let Some(key) = known.then(|| self.clients.insert(client)).flatten() else { continue };
            let Some(client) = self.clients.get(key) else { continue };
            if reactor.add(client, Token::new(Source::Client, key), Interest::READ).is_err() {
                self.clients.remove(key);
            }
        }
    }

    /// A client said something, or left.
    pub(crate) fn said(&mut self, key: Key) -> Option<Doing> {
        let received = parcel::receive(self.clients.get(key)?);
        match received {
            Ok(Received::Message(request, beside)) => Some(Doing::Asked(key, request, beside)),
            Ok(Received::Garbled(why)) => {
                self.reply(key, &Reply::Failed { why });
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(Received::End) | Err(_) => {
                self.leave(key);
                Some(Doing::Left)
            }
        }
    }

    /// Answers. Who does not take it is let go.
    pub(crate) fn reply(&mut self, key: Key, reply: &Reply) {
        let Some(client) = self.clients.get(key) else { return };
        let sent = match parcel::send(client, reply, &[]) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let why = "the answer is too long".to_owned();
                parcel::send(client, &Reply::Failed { why }, &[])
            }
            sent => sent,
        };
        if sent.is_err() {
            self.leave(key);
        }
    }

    /// This one is handed relayed connections from now on; who was is let go.
    pub(crate) fn appoint(&mut self, key: Key) {
        if let Some(before) = self.relay.replace(key).filter(|before| *before != key) {
            self.clients.remove(before);
        }
    }

    /// Whether there is somebody to hand connections to.
    pub(crate) const fn has_relay(&self) -> bool {
        self.relay.is_some()
    }

    /// Hands a connection over; gives it back if nobody takes it.
    pub(crate) fn hand_over(&mut self, port: u16, transport: Transport, socket: OwnedFd) -> Result<(), OwnedFd> {
        let Some((key, client)) = self.relay.and_then(|key| Some((key, self.clients.get(key)?))) else {
            return Err(socket);
        };
        match parcel::send(client, &Relayed { port, transport }, &[socket.as_fd()]) {
            Ok(()) => Ok(()),
            // It is slow: this one is lost, it is not.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(socket),
            Err(_) => {
                self.leave(key);
                Err(socket)
            }
        }
    }

    fn leave(&mut self, key: Key) {
        self.clients.remove(key);
        if self.relay == Some(key) {
            self.relay = None;
        }
    }
}
