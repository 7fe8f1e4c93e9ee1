//! A home for the measurements: its own server and machines, somebody else's templates.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use machine_sdk::Client;
use machine_sdk::api::server::MachinesThen;
use tokio::process::{Child, Command};

/// See the module.
pub(crate) struct Home {
    folder: PathBuf,
    machine: PathBuf,
    server: Child,
}

impl Home {
    /// Starts a server of its own.
    pub(crate) async fn open(machine: &Path, images: &Path) -> anyhow::Result<Self> {
        let machine = machine.canonicalize().with_context(|| format!("no program {}", machine.display()))?;
        let images = images.canonicalize().with_context(|| format!("no folder {}", images.display()))?;
        // Beside the templates: memory images belong on the same file system, and a measurement's on no other.
        let beside = images.parent().context("the templates have no folder above")?;
        let folder = beside.join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("images"))?;
        for part in ["templates", "refs"] {
            std::os::unix::fs::symlink(images.join(part), folder.join("images").join(part))?;
        }
        let log = std::fs::File::create(folder.join("serve.log"))?;
        let mut server = Command::new(&machine);
        server.arg("serve").env("MACHINE_HOME", &folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Ctrl-C is for us: who else would end its machines?
        server.kill_on_drop(true).process_group(0);
        let home = Self { folder, machine, server: server.spawn().context("cannot start the server")? };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while home.client().health().await.is_err() {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(home)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn client(&self) -> Client {
        Client::unix(self.folder.join("api.sock"))
    }

    /// The folder of a machine.
    pub(crate) fn machine_folder(&self, id: &str) -> PathBuf {
        self.folder.join("machines").join(id)
    }

    /// Runs `machine` with these words in this home and gives what it printed.
    pub(crate) async fn cli(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.command(words).stdin(Stdio::null()).stderr(Stdio::null()).output().await?;
        anyhow::ensure!(output.status.success(), "machine {words:?} failed");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `machine` with these words in this home, not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.machine);
        command.args(words).env("MACHINE_HOME", &self.folder);
        command
    }

    /// What a machine's VMM occupies if shared pages are shared out, in MiB.
    pub(crate) fn vmm_pss_mib(&self, id: &str) -> anyhow::Result<f64> {
        let record = std::fs::read(self.machine_folder(id).join("run/supervisor.json"))?;
        let record: serde_json::Value = serde_json::from_slice(&record)?;
        let pid = record["vmm"]["pid"].as_i64().context("no VMM on record")?;
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// What the server occupies, in MiB.
    pub(crate) fn server_rss_mib(&self) -> anyhow::Result<f64> {
        rss_mib(self.server.id().context("the server has ended")?)
    }

    /// Ends the server and everything in the home.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.client().shutdown(MachinesThen::Stop).await?;
        self.server.wait().await?;
        std::fs::remove_dir_all(&self.folder).context("cannot remove the measurements' home")
    }
}

/// How long a process has had a processor, all its threads together.
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let line = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = line.split(' ').next().context("an empty schedstat")?;
        sum += Duration::from_nanos(first.parse()?);
    }
    Ok(sum)
}

/// What a process occupies, in MiB.
pub(crate) fn rss_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
