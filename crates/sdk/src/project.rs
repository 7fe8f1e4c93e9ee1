//! What a machine does for a project: who listens in it, its secrets, its user.

use http::Method;
use machine_api::project::{EnsureUser, ListenerLine, MachineListeners, PutSecrets};

use crate::connection::{Call, Client, empty};
use crate::error::SdkError;
use crate::machine::of;
use crate::stream::{ByteStream, Lines};

const TRIED: &str = "follow who listens";

/// Who listens in a machine, as it changes. Dropped, the guest looks no more.
pub struct ListenerLines(Lines);

impl Client {
    /// Who listens in a machine now.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn listeners(&self, machine: &str) -> Result<MachineListeners, SdkError> {
        self.ask(Call::new(Method::GET, &of(machine, "/listeners"))).await
    }

    /// Who listens in a machine, and what changes of it.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn follow_listeners(&self, machine: &str) -> Result<ListenerLines, SdkError> {
        let call = Call::new(Method::GET, &of(machine, "/listeners?follow=true"));
        Ok(ListenerLines(Lines::new(ByteStream::new(self.send(call, empty()).await?))))
    }

    /// Gives a machine these secrets, and no others; they are on no record and in no image.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn put_secrets(&self, machine: &str, put: &PutSecrets) -> Result<(), SdkError> {
        self.tell_only(Call::new(Method::PUT, &of(machine, "/secrets")), put).await.map(drop)
    }

    /// Makes a user be there, with a home. A repeat is success.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn ensure_user(&self, machine: &str, user: &EnsureUser) -> Result<(), SdkError> {
        self.tell_only(Call::new(Method::PUT, &of(machine, "/user")), user).await.map(drop)
    }
}

impl ListenerLines {
    /// What changed; the first time all are opened. `None` when the machine or the server ends.
    ///
    /// # Errors
    /// `Broken` if what comes is no such line, or the rest cannot be had.
    pub async fn next(&mut self) -> Result<Option<ListenerLine>, SdkError> {
        let Some(line) = self.0.next().await? else { return Ok(None) };
        serde_json::from_slice(&line).map(Some).map_err(|error| SdkError::broken(TRIED, error))
    }
}
