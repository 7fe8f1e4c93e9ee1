//! The server itself: whether it is there, what it is, and asking it to end.

use http::Method;
use machine_api::server::{Health, MachinesThen, Shutdown, VersionInfo};

use crate::connection::{Call, Client};
use crate::error::SdkError;

impl Client {
    /// Whether a server answers.
    ///
    /// # Errors
    /// `Unreachable` if none does.
    pub async fn health(&self) -> Result<Health, SdkError> {
        self.ask(Call::new(Method::GET, "/healthz")).await
    }

    /// What the server is and what its host can give.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn version(&self) -> Result<VersionInfo, SdkError> {
        self.ask(Call::new(Method::GET, "/v1/version")).await
    }

    /// Asks the server to end. It still answers for a moment afterwards.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn shutdown(&self, machines: MachinesThen) -> Result<(), SdkError> {
        self.tell_only(Call::new(Method::POST, "/v1/server/shutdown"), &Shutdown { machines }).await?;
        Ok(())
    }
}
