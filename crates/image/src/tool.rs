//! Runs one external tool: its lines are passed on, its failure becomes a named error.
//! Which tools, and with which arguments, is decided elsewhere.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::sys;

const KEPT_LINES: usize = 12;
/// With the administrator's folders, which the search path of an ordinary user may lack.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that a build needs, and the package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its file name.
    pub name: &'static str,
    /// The Debian package with it.
    pub package: &'static str,
}

/// Every tool that a build of the base template runs.
pub const TOOLS: [Tool; 8] = [APT_GET, APT_CONFIG, DEPMOD, DPKG_DEB, MKE2FS, MMDEBSTRAP, TAR, UNSHARE];
/// What a build of some recipes runs besides, and which recipes those are.
pub const RECIPE_TOOLS: [(Tool, &str); 2] = [(NPM, "npm packages or coding agents"), (PIP, "Python packages")];
pub(crate) const APT_GET: Tool = Tool { name: "apt-get", package: "apt" };
pub(crate) const APT_CONFIG: Tool = Tool { name: "apt-config", package: "apt" };
pub(crate) const DEBUGFS: Tool = Tool { name: "debugfs", package: "e2fsprogs" };
pub(crate) const E2FSCK: Tool = Tool { name: "e2fsck", package: "e2fsprogs" };
pub(crate) const QEMU_IMG: Tool = Tool { name: "qemu-img", package: "qemu-utils" };
pub(crate) const RESIZE2FS: Tool = Tool { name: "resize2fs", package: "e2fsprogs" };
pub(crate) const DEPMOD: Tool = Tool { name: "depmod", package: "kmod" };
pub(crate) const DPKG_DEB: Tool = Tool { name: "dpkg-deb", package: "dpkg" };
pub(crate) const MKE2FS: Tool = Tool { name: "mke2fs", package: "e2fsprogs" };
pub(crate) const MMDEBSTRAP: Tool = Tool { name: "mmdebstrap", package: "mmdebstrap" };
pub(crate) const NPM: Tool = Tool { name: "npm", package: "npm" };
pub(crate) const PIP: Tool = Tool { name: "pip3", package: "python3-pip" };
pub(crate) const SETPRIV: Tool = Tool { name: "setpriv", package: "util-linux" };
pub(crate) const SH: Tool = Tool { name: "sh", package: "dash" };
pub(crate) const TAR: Tool = Tool { name: "tar", package: "tar" };
pub(crate) const UNSHARE: Tool = Tool { name: "unshare", package: "util-linux" };

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("{tool} is not installed")]
    Missing {
        /// Its file name.
        tool: &'static str,
        /// The package with it.
        package: &'static str,
    },
    /// It could not be started or read from.
    #[error("cannot run {tool}")]
    Start {
        /// Its file name.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ran out of disk space.
    #[error("{tool} found no space left on the disk:\n{last_lines}")]
    DiskFull {
        /// Its file name.
        tool: &'static str,
        /// Its last words.
        last_lines: String,
    },
    /// It could not get something from the mirror.
    #[error("{tool} cannot reach the package mirror:\n{last_lines}")]
    MirrorUnreachable {
        /// Its file name.
        tool: &'static str,
        /// Its last words.
        last_lines: String,
    },
    /// It failed in another way.
    #[error("{tool} failed ({status}):\n{last_lines}")]
    Failed {
        /// Its file name.
        tool: &'static str,
        /// Exit status or signal.
        status: String,
        /// Its last words.
        last_lines: String,
    },
}

impl ToolError {
    /// What the person can do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { tool, package } => {
                let recipes = if [NPM, PIP].iter().any(|client| client.name == *tool) { " recipes" } else { "" };
                Some(format!("install the package {package}, or run scripts/install-host{recipes}"))
            }
            Self::DiskFull { .. } => Some("free some space, then build again".to_owned()),
            Self::MirrorUnreachable { tool, .. } => {
                let check = match *tool {
                    "npm" => "npm ping",
                    "pip3" => "pip3 download pip",
                    _ => "apt-get update",
                };
                Some(format!("check that `{check}` works on this host, then build again"))
            }
            Self::Start { .. } | Self::Failed { .. } => None,
        }
    }
}

impl Tool {
    /// Where the tool is.
    ///
    /// # Errors
    /// [`ToolError::Missing`] where it is nowhere.
    pub fn find(self) -> Result<PathBuf, ToolError> {
        SEARCH_PATH
            .split(':')
            .map(|folder| Path::new(folder).join(self.name))
            .find(|path| path.is_file())
            .ok_or(ToolError::Missing { tool: self.name, package: self.package })
    }

    /// A command for the tool, not yet run.
    pub(crate) fn command(self) -> Result<Command, ToolError> {
        let mut command = Command::new(self.find()?);
        command.env("LC_ALL", "C.UTF-8").env("PATH", SEARCH_PATH);
        Ok(command)
    }

    /// Runs `command` to its end; each line of its error stream goes to `heard`, its standard output is the answer.
    pub(crate) fn run(self, mut command: Command, heard: &dyn Fn(&str)) -> Result<Vec<u8>, ToolError> {
        let start = |source| ToolError::Start { tool: self.name, source };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::end_with_parent(&mut command);
        let mut child = command.spawn().map_err(start)?;
        let mut stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("the error stream is piped");
        let answer = thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let last = listen(stderr, heard);
        let status = child.wait().map_err(start)?;
        let answer = answer.join().expect("the reader of a pipe does not panic").map_err(start)?;
        if status.success() {
            return Ok(answer);
        }
        Err(self.failure(&status.to_string(), last.join("\n")))
    }

    fn failure(self, status: &str, last_lines: String) -> ToolError {
        let tool = self.name;
        let says = |words: &[&str]| words.iter().any(|&word| last_lines.contains(word));
        if says(&["No space left on device", "ENOSPC", "Could not allocate block", "not enough free disk space"]) {
            ToolError::DiskFull { tool, last_lines }
        } else if says(&[
            "Failed to fetch",
            "Could not resolve",
            "Unable to connect",
            "Could not connect",
            "Connection failed",
            "Connection timed out",
            // npm's words, and pip's.
            "ECONNREFUSED",
            "ECONNRESET",
            "ETIMEDOUT",
            "ENOTFOUND",
            "EAI_AGAIN",
            "Failed to establish a new connection",
        ]) {
            ToolError::MirrorUnreachable { tool, last_lines }
        } else {
            ToolError::Failed { tool, status: status.to_owned(), last_lines }
        }
    }
}

fn listen(stream: impl Read, heard: &dyn Fn(&str)) -> Vec<String> {
    let mut last = VecDeque::new();
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let line = line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default();
        if line.is_empty() {
            continue;
        }
        heard(line);
        if last.len() == KEPT_LINES {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }
    last.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Tool = Tool { name: "sh", package: "dash" };

    fn run(script: &str) -> Result<Vec<u8>, ToolError> {
        let mut command = SHELL.command().unwrap();
        command.arg("-c").arg(script);
        SHELL.run(command, &|_| ())
    }

    #[test]
    fn a_tool_that_is_not_there_names_its_package() {
        let error = Tool { name: "no-such-tool", package: "the-package" }.find().unwrap_err();
        assert!(error.hint().unwrap().contains("the-package"));
        let error = ToolError::Missing { tool: NPM.name, package: NPM.package };
        assert!(error.hint().unwrap().ends_with("scripts/install-host recipes"));
    }

    #[test]
    fn its_output_is_the_answer() {
        assert_eq!(run("echo yes; echo talk >&2").unwrap(), b"yes\n");
    }

    #[test]
    fn its_last_words_are_kept_when_it_fails() {
        let error = run("for n in $(seq 40); do echo line $n >&2; done; exit 3").unwrap_err();
        let ToolError::Failed { last_lines, .. } = error else { panic!("{error}") };
        assert!(last_lines.starts_with("line 29") && last_lines.ends_with("line 40"), "{last_lines}");
    }

    #[test]
    fn a_full_disk_and_a_silent_mirror_are_told_apart() {
        let full = run("echo 'cp: write error: No space left on device' >&2; exit 1").unwrap_err();
        assert!(matches!(full, ToolError::DiskFull { .. }));
        let silent = run("echo 'E: Failed to fetch http://a.test/x' >&2; exit 1").unwrap_err();
        assert!(matches!(silent, ToolError::MirrorUnreachable { .. }));
    }
}
