//! What a developer waits for all day: a project's start, a command in it, and files in the folder that it shares
//! with its machine, beside the same on the guest's own disk, in the same guest, in the same run.

mod cold;
mod files;
mod install;
mod watch;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::process::Command;

use crate::figures::Samples;
use crate::home::Home;
use crate::report::Report;

/// A project as most are: of a template made for it, which has its user. What else is installed does not matter here.
const MACHINEFILE: &str = "version: 1\nname: measured\npackages: {apt: [git]}\nresources: {cpus: 2, memory: 1GiB}\n\
    mounts: [{host: ., guest: /workspace, exclude: [own]}]\n";

/// A project in a folder of its own, and the program that works on it.
pub(crate) struct Project<'h> {
    home: &'h Home,
    folder: PathBuf,
}

impl<'h> Project<'h> {
    fn lay(home: &'h Home, name: &str, machinefile: &str) -> anyhow::Result<Self> {
        let folder = home.folder().join(name);
        std::fs::create_dir_all(folder.join("own"))?;
        std::fs::write(folder.join("Machinefile"), machinefile)?;
        Ok(Self { home, folder })
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(words);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Runs `machine` in the project, and answers how long that took.
    async fn timed(&self, words: &[&str]) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let ended = self.command(words).output().await?;
        let said = String::from_utf8_lossy(&ended.stderr);
        anyhow::ensure!(ended.status.success(), "machine {words:?} failed: {said}");
        Ok(begun.elapsed())
    }

    /// Runs a line in the project's machine, and answers the seconds that it says it took by the guest's clock.
    async fn seconds(&self, line: &str) -> anyhow::Result<f64> {
        let timed = format!("t=$(date +%s%N); ({line}) >/dev/null || exit 1; echo $(( ($(date +%s%N) - t) / 1000 ))");
        let ended = self.command(&["run", "sh", "-c", &timed]).output().await?;
        let said = String::from_utf8_lossy(&ended.stderr);
        anyhow::ensure!(ended.status.success(), "{line}: {said}");
        let micros: f64 = String::from_utf8_lossy(&ended.stdout).trim().parse().context("no number came")?;
        Ok(micros / 1e6)
    }
}

pub(crate) async fn measure(home: &Home, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let project = Project::lay(home, "measured", MACHINEFILE)?;
    let first = project.timed(&["start"]).await?;
    report.single("project: first start, its template made if it is not there", "ms", first.as_secs_f64() * 1000.0);
    starts(&project, rounds, report).await?;
    commands(&project, rounds * 5, report).await?;
    watch::measure(&project, rounds, report).await?;
    project.timed(&["destroy", "--yes"]).await?;
    cold::measure(home, rounds, report).await
}

pub(crate) async fn measure_files(home: &Home, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let project = Project::lay(home, "measured", MACHINEFILE)?;
    project.timed(&["start"]).await?;
    files::measure(&project, rounds, report).await?;
    project.timed(&["destroy", "--yes"]).await.map(drop)
}

pub(crate) async fn measure_install(home: &Home, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    install::measure(home, rounds, report).await
}

/// From a stopped machine with an ephemeral root to a ready one, as a person types it.
async fn starts(project: &Project<'_>, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let mut started = Samples::default();
    for round in 0..=rounds {
        project.timed(&["stop"]).await?;
        let took = project.timed(&["start"]).await?;
        if round > 0 {
            started.add(took);
        }
    }
    report.line("project: machine start, until ready", "ms", started.figures(), None);
    Ok(())
}

async fn commands(project: &Project<'_>, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let mut run = Samples::default();
    for round in 0..=rounds {
        let took = project.timed(&["run", "true"]).await?;
        if round > 0 {
            run.add(took);
        }
    }
    report.line("project: machine run true", "ms", run.figures(), None);
    Ok(())
}
