//! Figures of machines that run. Asking for them wakes no machine.

use http::Method;
use machine_api::{MachineMetrics, UsageInfo};

use crate::connection::{Call, Client};
use crate::error::SdkError;
use crate::machine::of;

/// Whether guests are asked, too: each then works a little for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guests {
    /// They are, and those that answer at once are heard.
    Asked,
    /// They are left alone.
    LeftAlone,
}

impl Guests {
    const fn query(self) -> &'static str {
        match self {
            Self::Asked => "?guest=true",
            Self::LeftAlone => "",
        }
    }
}

impl Client {
    /// What each running machine costs the server's host, oldest first.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn usages(&self, guests: Guests) -> Result<Vec<UsageInfo>, SdkError> {
        self.ask(Call::new(Method::GET, &format!("/v1/usage{}", guests.query()))).await
    }

    /// What one running machine costs the server's host.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn usage(&self, machine: &str, guests: Guests) -> Result<UsageInfo, SdkError> {
        self.ask(Call::new(Method::GET, &of(machine, &format!("/usage{}", guests.query())))).await
    }

    /// How a running machine's guest is, in its own words; the newest last.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn metrics(&self, machine: &str) -> Result<Vec<MachineMetrics>, SdkError> {
        self.ask(Call::new(Method::GET, &of(machine, "/metrics"))).await
    }
}
