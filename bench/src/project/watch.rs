//! From an edit on the host to the event in the guest that a watcher sees.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;

use super::Project;
use crate::figures::Samples;
use crate::report::Report;

/// Says a line for every event in the folder that means another content.
const WATCHER: &str = "import ctypes, os, struct, sys\n\
libc = ctypes.CDLL(None)\n\
fd = libc.inotify_init()\n\
libc.inotify_add_watch(fd, b'/workspace/watched', 0x2 | 0x8)\n\
print('ready', flush=True)\n\
while True:\n\
\x20   os.read(fd, 4096)\n\
\x20   print('event', flush=True)\n";
/// One that does not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn measure(project: &Project<'_>, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let folder = project.folder().join("watched");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("source.js");
    std::fs::write(&file, "0")?;
    let mut command = project.command(&["run", "python3", "-c", WATCHER]);
    let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("it is piped")?).lines();
    next(&mut said).await?;
    let mut seen = Samples::default();
    for round in 0..=rounds {
        quiet(&mut said).await?;
        let begun = Instant::now();
        std::fs::write(&file, round.to_string())?;
        next(&mut said).await?;
        if round > 0 {
            seen.add(begun.elapsed());
        }
    }
    child.kill().await?;
    std::fs::remove_dir_all(folder)?;
    report.line("project: an edit here until its event there, the way back included", "ms", seen.figures(), None);
    Ok(())
}

async fn next(said: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<()> {
    let line = tokio::time::timeout(PATIENCE, said.next_line()).await.context("no event came")??;
    line.map(drop).context("the watcher ended")
}

/// Until nothing came for a while: an edit may be several events.
async fn quiet(said: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<()> {
    while let Ok(line) = tokio::time::timeout(Duration::from_millis(400), said.next_line()).await {
        line?.context("the watcher ended")?;
    }
    Ok(())
}
