//! An agent process of its own for every test, and the host's end of it.

use bytes::Bytes;
use machine_guest::protocol::{Ending, Exec};
use machine_guest::{ExecOutput, GuestLink};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) struct Agent {
    process: Child,
    folder: TempDir,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = format!("unix:{}", folder.path().join("agent").display());
        let process = Command::new(env!("CARGO_BIN_EXE_machine-agent")).args(["--listen", &place]).spawn().unwrap();
        Self { process, folder }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) async fn link(&self) -> GuestLink {
        let deadline = Instant::now() + Duration::from_secs(20);
        GuestLink::connect_unix(&self.socket(), deadline).await.unwrap().0
    }

    /// Resident memory of the agent in KiB, at its peak.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time of the agent in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

pub(crate) async fn run(link: &GuestLink, exec: Exec) -> ExecOutput {
    link.exec(exec).await.unwrap().output(64 * 1024 * 1024).await.unwrap()
}

pub(crate) async fn shell(link: &GuestLink, line: &str) -> ExecOutput {
    run(link, Exec::shell(line)).await
}

pub(crate) fn check(output: &ExecOutput, stdout: &str, stderr: &str, ending: Ending) {
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout);
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    assert_eq!(output.exited.ending, ending);
}

/// Bytes that are cheap to make and tell any mix-up.
pub(crate) fn pattern(block: u64) -> Bytes {
    let words = (0..8192_u64).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ block);
    words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>().into()
}

pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < until, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}
