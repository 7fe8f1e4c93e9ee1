//! What the handle on a guest does for a project: one method, one request. Services are in `service`.

use crate::error::GuestError;
use crate::link::GuestLink;
use crate::listener::ListenerStream;
use machine_agent_protocol::{EnsureUser, Listeners, Mount, PutSecrets, Touch, Unmount};

impl GuestLink {
    /// Mounts a folder of the host.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn mount(&self, mount: Mount) -> Result<(), GuestError> {
        self.done("mount", mount).await
    }

    /// Takes a folder of the host away.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn unmount(&self, unmount: Unmount) -> Result<(), GuestError> {
        self.done("unmount", unmount).await
    }

    /// Lets those who watch a mounted folder know what changed.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn touch(&self, touch: Touch) -> Result<(), GuestError> {
        self.done("touch", touch).await
    }

    /// Holds just these secrets.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn put_secrets(&self, put: PutSecrets) -> Result<(), GuestError> {
        self.done("put secrets", put).await
    }

    /// Makes a user be there.
    ///
    /// # Errors
    /// If the guest cannot, or the link is down.
    pub async fn ensure_user(&self, user: EnsureUser) -> Result<(), GuestError> {
        self.done("ensure a user", user).await
    }

    /// Asks who listens. Dropping the answer ends it.
    ///
    /// # Errors
    /// If the link is down; what the guest cannot is told by the first news.
    pub async fn listeners(&self, asked: Listeners) -> Result<ListenerStream, GuestError> {
        Ok(ListenerStream::new(self.open(asked).await?))
    }
}
