//! A command in the foreground: asked and answered in one exchange. Streams are in `attach.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program; with `shell` a line for the guest's shell.
    pub command: String,
    /// Its arguments, exactly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// It is killed after this many seconds: 30 if left out, 0 is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<f64>,
    /// Folder to start in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Environment on top of the machine's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub envs: BTreeMap<String, String>,
    /// Whether `command` is a line for the guest's shell.
    #[serde(default)]
    pub shell: bool,
    /// Not honoured yet.
    #[serde(default)]
    pub background: bool,
    /// The guest's user; ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it begins as a login does, with the user's own shell and profile; ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub login: bool,
    /// Permission bits that its new files do not get, in octal: `022` if left out; ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<String>,
}

/// How it ended. What is not UTF-8 in the output is replaced; `attach` gives bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResponse {
    /// Its exit code; 128 + n if signal n ended it; 127 or 126 if it could not be started.
    pub exit_code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// Its process id in the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}
