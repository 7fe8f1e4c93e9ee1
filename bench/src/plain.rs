//! Plain QEMU: the very command line that a machine had, run by hand, until the guest's first line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// What init prints first; nothing of user space comes before it.
const FIRST_LINE: &str = "machine-agent: ready";
const PATIENCE: Duration = Duration::from_secs(120);

/// The parts of a machine's launch plan that are needed.
#[derive(Debug, Deserialize)]
struct LaunchPlan {
    program: PathBuf,
    arguments: Vec<String>,
}

/// A command line to repeat.
pub(crate) struct Plain {
    plan: LaunchPlan,
    folder: PathBuf,
}

impl Plain {
    /// Takes the command line of the machine in this folder; its disk becomes a copy as it was before the boot.
    pub(crate) fn like(machine_folder: &Path, folder: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(machine_folder.join("run/plan.json")).context("no launch plan")?;
        Ok(Self { plan: serde_json::from_slice(&text)?, folder: folder.to_owned() })
    }

    /// From starting the process to the first line; the disk is a fresh copy of `disk`.
    pub(crate) async fn boot(&self, disk: &Path) -> anyhow::Result<Duration> {
        let copy = self.folder.join("plain.qcow2");
        std::fs::copy(disk, &copy)?;
        let begun = Instant::now();
        let mut child = Command::new(&self.plan.program)
            .args(self.plan.arguments.iter().map(|word| self.ours(word, &copy)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no console")?).lines();
        let first = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains(FIRST_LINE) {
                    return Ok(begun.elapsed());
                }
            }
            anyhow::bail!("plain QEMU ended before the guest's first line")
        };
        let took = tokio::time::timeout(PATIENCE, first).await.context("plain QEMU says nothing")??;
        child.kill().await?;
        Ok(took)
    }

    /// The same words, with sockets and disk of our own.
    fn ours(&self, word: &str, disk: &Path) -> String {
        let parts = word.split(',').map(|part| match part.split_once('=') {
            Some(("path", socket)) => {
                let name = Path::new(socket).file_name().unwrap_or_default().to_string_lossy();
                format!("path={}", self.folder.join(format!("plain-{name}")).display())
            }
            Some(("filename", _)) => format!("filename={}", disk.display()),
            Some(_) | None => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(",")
    }
}
