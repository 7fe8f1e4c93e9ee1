//! What is installed in a machine's image.

use serde::Serialize;

/// Packages by who installs them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Packages {
    /// Debian's. A plain list means these.
    pub apt: Vec<String>,
    /// npm's, installed for all users.
    pub npm: Vec<String>,
    /// Python's.
    pub pip: Vec<String>,
}

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Containers {
    /// Nothing.
    None,
    /// Docker.
    Docker,
}

/// A coding agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentTool {
    /// The Claude Code CLI.
    ClaudeCode,
    /// The Codex CLI.
    Codex,
}
