//! How the guest's files keep their owners while they are on the host: root's own ids, or a user
//! namespace over the building user's subordinate ids.

use std::ffi::OsStr;
use std::process::Command;

use crate::tool::{Tool, ToolError, UNSHARE};

const RM: Tool = Tool { name: "rm", package: "coreutils" };

/// Whose ids the guest's files have on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// We are root: the ids are as in the guest.
    Root,
    /// We are a user: the ids are mapped.
    Mapped,
}

impl Ownership {
    /// What this process can do.
    pub(crate) fn of_this_process() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::Mapped }
    }

    /// mmdebstrap's word for it.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Mapped => "unshare",
        }
    }

    /// A command for `tool` that sees the guest's ids.
    pub(crate) fn command(self, tool: Tool) -> Result<Command, ToolError> {
        match self {
            Self::Root => tool.command(),
            Self::Mapped => {
                let mut command = UNSHARE.command()?;
                command.args(["--map-auto", "--map-root-user", "--"]).arg(tool.find()?);
                Ok(command)
            }
        }
    }

    /// A command for `tool`, which mounts things: they go when it is gone, even if it is killed.
    pub(crate) fn mount_apart(self, tool: Tool) -> Result<Command, ToolError> {
        match self {
            Self::Root => {
                let mut command = UNSHARE.command()?;
                command.args(["--mount", "--"]).arg(tool.find()?);
                Ok(command)
            }
            // The tool makes a user namespace, and with it a mount namespace, of its own.
            Self::Mapped => tool.command(),
        }
    }

    /// A command for `tool` in a mount namespace of its own, where it is root: what it mounts goes with it.
    pub(crate) fn apart(self, tool: Tool) -> Result<Command, ToolError> {
        let mut command = UNSHARE.command()?;
        match self {
            Self::Root => command.args(["--mount", "--"]),
            Self::Mapped => command.args(["--map-auto", "--map-root-user", "--mount", "--"]),
        };
        command.arg(tool.find()?);
        Ok(command)
    }

    /// Removes `paths`, whoever owns what is below them; what is not there is no failure, and what a killed
    /// tool may have mounted there is left alone.
    pub(crate) fn remove<P: AsRef<OsStr>>(self, paths: impl IntoIterator<Item = P>) -> Result<(), ToolError> {
        let mut command = self.command(RM)?;
        command.args(["-rf", "--one-file-system", "--"]).args(paths);
        RM.run(command, &|_| ()).map(drop)
    }
}
