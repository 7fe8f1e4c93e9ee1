//! What a guest does for a project: folders of the host, a user, secrets, who listens. Its services are in
//! `service`. What it answers comes from a hostile guest.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::mount::Access;
use crate::network::Transport;
use crate::promise::guest::GuestError;
use crate::promise::service::GuestServices;

/// What a guest does for a project. An older guest answers `Unsupported`.
#[async_trait]
pub trait GuestProject: Send + Sync {
    /// Mounts a folder of the host; a repeat is success. The device may be on its way.
    async fn mount(&self, mount: &GuestMount) -> Result<(), GuestError>;

    /// Takes a folder away, even if it is in use or its server is gone; a repeat is success.
    async fn unmount(&self, target: &str) -> Result<(), GuestError>;

    /// Lets those who watch a mounted folder know what the host changed. At most `MOST_CHANGES`.
    async fn touch(&self, target: &str, changes: &[HostChange]) -> Result<(), GuestError>;

    /// Holds just these secrets in `/run/secrets`, in memory.
    async fn put_secrets(&self, secrets: &Secrets) -> Result<(), GuestError>;

    /// Makes a user be there; a repeat is success.
    async fn ensure_user(&self, user: &GuestUser) -> Result<(), GuestError>;

    /// Who listens: all that there are first, then what changes, if it is followed.
    async fn listeners(&self, following: Following) -> Result<Box<dyn ListenerSource>, GuestError>;

    /// Its services.
    fn services(&self) -> Arc<dyn GuestServices>;
}

/// No batch has more changes.
pub const MOST_CHANGES: usize = 1024;

/// Whether what comes later is told, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// Only what is.
    No,
    /// Also what changes, until nobody listens.
    Yes,
}

/// A folder of the host in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestMount {
    /// What its device calls itself: at most 36 visible characters.
    pub tag: String,
    /// Where: absolute, without links on the way, and no folder of the system.
    pub target: String,
    /// What the guest may do.
    pub access: Access,
    /// Folders below it, relative, that are the guest's own.
    pub exclude: Vec<String>,
    /// Who owns the folders that are made on the way, and the guest's own.
    pub owner: GuestOwner,
}

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestOwner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// A change of the host's below a mounted folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostChange {
    /// Relative to the folder; bytes, as file systems have them.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: HostChangeKind,
}

/// What the host did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostChangeKind {
    /// It has another content.
    Modified,
    /// It is new.
    Created,
    /// It is gone.
    Removed,
    /// It has other rights or another owner.
    Attributes,
}

/// What only one user of a guest may read.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// Name and value. None removes those that there are.
    pub entries: Vec<(String, Vec<u8>)>,
    /// Who may read them, beside root.
    pub uid: u32,
}

impl fmt::Debug for Secrets {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.entries.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Secrets").field("names", &names).field("uid", &self.uid).finish_non_exhaustive()
    }
}

/// A user of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestUser {
    /// The name.
    pub name: String,
    /// The user's number, and that of the user's own group; not 0.
    pub owner: GuestOwner,
    /// The shell; the guest's best if not said.
    pub shell: Option<String>,
    /// Whether the user may become root.
    pub sudo: Sudo,
}

/// Whether a user may become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sudo {
    /// No.
    #[default]
    Refused,
    /// Without a password.
    Allowed,
}

/// A port that somebody listens at. Its port, transport and address tell it from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// How it is spoken to.
    pub transport: Transport,
    /// Where.
    pub address: ListenAddress,
    /// Whose it is.
    pub uid: u32,
    /// The program's name, if it could be found out; short and plain.
    pub program: Option<String>,
}

/// At which of a guest's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress {
    /// At all.
    Any,
    /// At its own, which nobody else reaches.
    Loopback,
    /// At one of the others.
    Other,
}

/// What changed of who listens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenerNews {
    /// New since the last news; at first all that there are.
    pub opened: Vec<Listener>,
    /// Gone since then.
    pub closed: Vec<Listener>,
}

/// Who listens, as it is told. Dropped, the guest looks no more.
#[async_trait]
pub trait ListenerSource: Send {
    /// The next news, within half a second of the change; `None` at the end of what is not followed.
    async fn next(&mut self) -> Result<Option<ListenerNews>, GuestError>;
}

/// A guest that knows nothing of projects.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProject;

fn cannot<T>(what: &str) -> Result<T, GuestError> {
    Err(GuestError::Unsupported(format!("this guest cannot {what}: its agent is older than this server")))
}

#[async_trait]
impl GuestProject for NoProject {
    async fn mount(&self, _mount: &GuestMount) -> Result<(), GuestError> {
        cannot("mount folders of the host")
    }
    async fn unmount(&self, _target: &str) -> Result<(), GuestError> {
        cannot("mount folders of the host")
    }
    async fn touch(&self, _target: &str, _changes: &[HostChange]) -> Result<(), GuestError> {
        cannot("mount folders of the host")
    }
    async fn put_secrets(&self, _secrets: &Secrets) -> Result<(), GuestError> {
        cannot("hold secrets")
    }
    async fn ensure_user(&self, _user: &GuestUser) -> Result<(), GuestError> {
        cannot("make users")
    }
    async fn listeners(&self, _following: Following) -> Result<Box<dyn ListenerSource>, GuestError> {
        cannot("tell who listens")
    }
    fn services(&self) -> Arc<dyn GuestServices> {
        Arc::new(Self)
    }
}
