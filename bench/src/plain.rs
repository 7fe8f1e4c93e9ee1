//! Plain QEMU: the very command line that a machine had, run by hand: a boot until the guest's first line, a
//! restore until the agent's answer and the first command's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use machine_guest::protocol::Exec;
use machine_guest::{ExecEvent, GuestLink};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::home::Home;

/// What init prints first; nothing of user space comes before it.
const FIRST_LINE: &str = "machine-agent: ready";
const PATIENCE: Duration = Duration::from_secs(120);
/// QEMU's own user network.
const SLIRP: &str = "user,id=net,ipv6=off";

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

/// A restore's command line to repeat, with the image whose parts it names.
pub(crate) struct PlainRestore {
    plain: Plain,
    image: PathBuf,
}

/// What a restore by hand took, from the start of the process.
pub(crate) struct Restored {
    pub(crate) answered: Duration,
    pub(crate) command: Duration,
}

impl Plain {
    /// Takes the command line of the machine in this folder; its disk becomes a copy as it was before the boot.
    pub(crate) fn like(machine_folder: &Path, folder: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(machine_folder.join("run/plan.json")).context("no launch plan")?;
        // The machine's wire is not ours to have: what anybody would write is QEMU's own network.
        Self { plan: serde_json::from_slice(&text)?, folder: folder.to_owned() }.with_netdev(SLIRP)
    }

    /// The same, but it does not wait to be told to begin.
    pub(crate) fn without_waiting(mut self) -> Self {
        self.plan.arguments.retain(|word| word != "-S");
        self
    }

    /// The same with another network.
    pub(crate) fn with_netdev(mut self, netdev: &str) -> anyhow::Result<Self> {
        let words = &mut self.plan.arguments;
        let at = words.iter().position(|word| word == "-netdev").context("the machine has no network")?;
        *words.get_mut(at + 1).context("-netdev wants a word")? = netdev.to_owned();
        Ok(self)
    }

    /// A running VMM whose agent has answered; the disk is a fresh copy of `disk`.
    pub(crate) async fn up(&self, disk: &Path) -> anyhow::Result<(Child, GuestLink)> {
        let copy = self.folder.join("plain.qcow2");
        std::fs::copy(disk, &copy)?;
        let mut command = Command::new(&self.plan.program);
        command.args(self.plan.arguments.iter().map(|word| self.ours(word, &copy)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let vmm = command.spawn()?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let (guest, _) = GuestLink::connect_unix(&self.folder.join("plain-agent.sock"), deadline).await?;
        Ok((vmm, guest))
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

    /// The same restore, from the image itself: the machine's own names of its parts go with the machine.
    pub(crate) fn restored_by(mut self, home: &Home) -> anyhow::Result<PlainRestore> {
        let images = home.folder().join("images/memory");
        let lent = self
            .plan
            .arguments
            .iter()
            .find_map(|word| Some(word.split_once("mem-path=")?.1.split(',').next()?.to_owned()));
        let lent = PathBuf::from(lent.context("the machine was not restored")?);
        let same = |folder: &PathBuf| same_file(&folder.join("ram"), &lent).unwrap_or(false);
        let image = std::fs::read_dir(images)?.filter_map(|entry| Some(entry.ok()?.path())).find(same);
        let image = image.context("the machine's image is gone")?;
        let own = lent.parent().context("no folder of lent parts")?.display().to_string();
        for word in &mut self.plan.arguments {
            *word = word.replace(&own, &image.display().to_string());
        }
        Ok(PlainRestore { plain: self, image })
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

impl PlainRestore {
    /// From starting the process to the agent's welcome, and on to the end of the first `true`.
    pub(crate) async fn restore(&self) -> anyhow::Result<Restored> {
        let disk = self.plain.folder.join("plain.qcow2");
        overlay(&self.image.join("disk.qcow2"), &disk).await?;
        for name in ["plain-qmp.sock", "plain-agent.sock"] {
            let _ = std::fs::remove_file(self.plain.folder.join(name));
        }
        let begun = Instant::now();
        let mut child = Command::new(&self.plain.plan.program)
            .args(self.plain.plan.arguments.iter().map(|word| self.plain.ours(word, &disk)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let restored = tokio::time::timeout(PATIENCE, self.talk(begun)).await.context("plain QEMU says nothing")??;
        child.kill().await?;
        Ok(restored)
    }

    async fn talk(&self, begun: Instant) -> anyhow::Result<Restored> {
        resume(&self.plain.folder.join("plain-qmp.sock")).await?;
        let socket = self.plain.folder.join("plain-agent.sock");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let (guest, _) = GuestLink::connect_unix(&socket, deadline).await?;
        let answered = begun.elapsed();
        let mut process = guest.exec(Exec::shell("true")).await?;
        while let Some(event) = process.next().await? {
            if let ExecEvent::Exited(_) = event {
                return Ok(Restored { answered, command: begun.elapsed() });
            }
        }
        anyhow::bail!("the command did not end")
    }
}

/// What anybody would do by hand: greet, wait until the state is loaded, let it run.
async fn resume(socket: &Path) -> anyhow::Result<()> {
    let stream = loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    lines.next_line().await?.context("no greeting")?;
    let mut ask = async |command: &str| -> anyhow::Result<serde_json::Value> {
        writer.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes()).await?;
        loop {
            let line = lines.next_line().await?.context("QEMU closed its socket")?;
            let answer: serde_json::Value = serde_json::from_str(&line)?;
            if answer.get("event").is_none() {
                anyhow::ensure!(answer.get("error").is_none(), "QEMU refused {command}: {answer}");
                return Ok(answer["return"].clone());
            }
        }
    };
    ask("qmp_capabilities").await?;
    while ask("query-status").await?["status"] == "inmigrate" {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ask("cont").await.map(drop)
}

async fn overlay(base: &Path, path: &Path) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut tool = Command::new("qemu-img");
    tool.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(base).arg(path);
    anyhow::ensure!(tool.status().await.context("qemu-img does not start")?.success(), "qemu-img failed");
    Ok(())
}

fn same_file(one: &Path, other: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (one, other) = (std::fs::metadata(one)?, std::fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}
