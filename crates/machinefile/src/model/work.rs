//! What is done in a machine and beside it: provisioning, services, readiness, hooks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// One entry of `provision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provision {
    /// What is done.
    #[serde(flatten)]
    pub action: ProvisionAction,
    /// By whom.
    #[serde(rename = "as")]
    pub run_as: RunAs,
    /// When.
    pub when: ProvisionWhen,
}

/// What an entry of `provision` does. Shown as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisionAction {
    /// Runs a command in the guest's shell.
    Run(String),
    /// Runs a script of the project; from its folder.
    Script(PathBuf),
    /// Writes a file.
    File {
        /// Where, in the guest.
        path: String,
        /// What it says.
        content: String,
        /// Its permissions.
        mode: u32,
    },
}

/// Who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// The machine's user.
    User,
    /// Root.
    Root,
}

/// When it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvisionWhen {
    /// Once, when the machine is made.
    Create,
    /// At each boot.
    Boot,
    /// At each start, restored or booted.
    Start,
}

/// A program that the agent keeps running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// What it is called.
    pub name: String,
    /// The command, for the guest's shell.
    pub run: String,
    /// When it is started again.
    pub restart: Restart,
    /// Who runs it; the machine's user, if absent.
    pub user: Option<String>,
    /// Its environment, over the machine's.
    pub env: BTreeMap<String, String>,
    /// Where it runs; the machine's, if absent.
    pub workdir: Option<String>,
}

/// When a service is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    No,
    /// When it failed.
    OnFailure,
    /// Whenever it ended.
    Always,
}

/// One condition of readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// What is asked.
    #[serde(flatten)]
    pub check: ReadyCheck,
    /// How long it is asked.
    #[serde(serialize_with = "super::shown::seconds")]
    pub timeout: Duration,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyCheck {
    /// Whether somebody listens on this port in the guest.
    Port(u16),
    /// Whether this command succeeds in the guest.
    Run(String),
}

/// Commands on the host, in the project's folder. They ask for trust.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Hooks {
    /// Before a start.
    pub pre_start: Vec<String>,
    /// After it.
    pub post_start: Vec<String>,
    /// Before a stop.
    pub pre_stop: Vec<String>,
    /// After it.
    pub post_stop: Vec<String>,
}
