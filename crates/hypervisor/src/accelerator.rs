//! Does KVM make real guests run here? Some computers have a `/dev/kvm` that answers every question and
//! runs ten instructions, and then hangs on a kernel. So: evidence first, then a timed loop in a child.
//!
//! ```text
//! probe ──cached──▶ Verdict
//!   └──▶ child (`probe-kvm`, killed at the deadline) ──▶ evidence ──▶ timed loops ──▶ Verdict
//! ```

mod cache;
mod evidence;
mod sys;
mod timed_loop;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

pub use evidence::Evidence;
use timed_loop::Mode;

/// The hidden verb that runs `probe_in_this_process` and prints the verdict as JSON.
pub const PROBE_VERB: &str = "probe-kvm";

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, through the kernel.
    Kvm,
    /// The VMM's own translator.
    Tcg,
}

/// What to use here, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What to use.
    pub accelerator: Accelerator,
    /// Why, in a sentence for `machine doctor`.
    pub reason: String,
    /// What was seen.
    pub evidence: Evidence,
}

/// Finds out, in a child process that is killed at the deadline: a broken KVM can hang whoever asks it.
/// `program` is one that has the verb `probe-kvm`. Never fails: whatever goes wrong speaks for TCG.
pub async fn probe(program: &Path, within: Duration) -> Verdict {
    let evidence = Evidence::gather();
    match evidence.against() {
        Some(reason) => Verdict { accelerator: Accelerator::Tcg, reason, evidence },
        None => probe_in_child(program, within, evidence).await,
    }
}

async fn probe_in_child(program: &Path, within: Duration, evidence: Evidence) -> Verdict {
    let reason = match tokio::time::timeout(within, ask_child(program)).await {
        Ok(Ok(verdict)) => return verdict,
        Ok(Err(error)) => format!("the KVM probe failed: {error}"),
        Err(_) => format!("the KVM probe hung and was killed after {} ms", within.as_millis()),
    };
    Verdict { accelerator: Accelerator::Tcg, reason, evidence }
}

/// As `probe`, but asks only once per boot, kernel, KVM module and version of ours.
pub async fn probe_cached(program: &Path, within: Duration, cache: &Path) -> Verdict {
    let key = cache::Key::now();
    if let Some(verdict) = cache::look_up(cache, &key) {
        return verdict;
    }
    let verdict = probe(program, within).await;
    if let Err(error) = cache::keep(cache, key, &verdict) {
        tracing::warn!(%error, "cannot keep the verdict on KVM; it is asked again next time");
    }
    verdict
}

/// The child's half. May hang or be killed by a broken KVM: only for the hidden verb.
#[must_use]
pub fn probe_in_this_process() -> Verdict {
    let evidence = Evidence::gather();
    let (accelerator, reason) = match evidence.against() {
        Some(reason) => (Accelerator::Tcg, reason),
        None => run_loops(),
    };
    Verdict { accelerator, reason, evidence }
}

fn run_loops() -> (Accelerator, String) {
    let mut slowest = Duration::ZERO;
    for mode in [Mode::Protected, Mode::Long] {
        match timed_loop::run(mode) {
            Ok(took) => slowest = slowest.max(took),
            Err(stall) => return (Accelerator::Tcg, format!("KVM does not run a loop in {mode}: {stall}")),
        }
    }
    let reason = format!("KVM ran a loop of a million in {} us", slowest.as_micros());
    (Accelerator::Kvm, reason)
}

async fn ask_child(program: &Path) -> std::io::Result<Verdict> {
    let mut child = Command::new(program)
        .arg0("machine")
        .arg(PROBE_VERB)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(1 << 16).read_to_end(&mut answer).await?;
    }
    let status = child.wait().await?;
    serde_json::from_slice(&answer).map_err(|error| std::io::Error::other(format!("{status}, {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    async fn child_that(shell: &str) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("machine");
        fs::write(&program, format!("#!/bin/sh\n{shell}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        probe_in_child(&program, Duration::from_millis(300), Evidence::gather()).await
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_killed_and_speaks_for_tcg() {
        let verdict = child_that("exec /bin/sleep 1000").await;
        assert_eq!(verdict.accelerator, Accelerator::Tcg);
        assert!(verdict.reason.contains("hung and was killed after 300 ms"), "{}", verdict.reason);
    }

    #[tokio::test]
    async fn a_probe_that_crashes_speaks_for_tcg() {
        for shell in ["kill -6 $$", "echo nonsense", "exit 1"] {
            let verdict = child_that(shell).await;
            assert_eq!(verdict.accelerator, Accelerator::Tcg);
            assert!(verdict.reason.contains("the KVM probe failed"), "{}", verdict.reason);
        }
    }
}
