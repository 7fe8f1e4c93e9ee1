//! Whether this host lets folders be shown by virtio-fs: asked of the daemon itself, which enters its sandbox for the
//! question alone. A host that does is asked once; one that does not is asked again, since it may be mended.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use machine_core::promise::folders::Sharing;
use machine_core::promise::provider::ProviderError;
use tokio::process::Command;

use super::shares::SHARE_VERB;
use super::{LocalProvider, host_refused};

/// In the place of a daemon's plan: it ends as soon as it is known whether it could run.
const CHECK_FLAG: &str = "--check";
/// It takes milliseconds.
const CHECK: Duration = Duration::from_secs(10);
/// How it ends when it was refused something.
const REFUSED: i32 = 1;
/// How a process ends that made a system call which a filter answers by ending it.
const BAD_SYSTEM_CALL: i32 = 31;
/// How our program begins what it says.
const VOICE: &str = "machine: ";

/// Whether a daemon of this program could show this folder.
///
/// # Errors
/// If that cannot be found out.
pub async fn probe_sharing(program: &Path, folder: &Path) -> Result<Sharing, ProviderError> {
    let mut asked = Command::new(program);
    asked.arg0("machine").arg(SHARE_VERB).arg(CHECK_FLAG).arg(folder).env_clear();
    asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |error| host_refused("ask whether folders can be shared", error);
    let answer = tokio::time::timeout(CHECK, asked.output()).await;
    let answer = answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(failed)?;
    judge(answer.status, &answer.stderr).ok_or_else(|| failed(std::io::Error::other(answer.status.to_string())))
}

/// Nothing, if the answer is neither way: it says nothing of the host that its daemon was killed.
fn judge(status: ExitStatus, said: &[u8]) -> Option<Sharing> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Some(Sharing::Virtiofs),
        (Some(REFUSED), _) => Some(Sharing::Refused { why: last_line(said) }),
        (_, Some(BAD_SYSTEM_CALL)) => {
            Some(Sharing::Refused { why: "a filter of system calls ends the process that would share them".to_owned() })
        }
        (Some(_) | None, _) => None,
    }
}

fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
    line.trim().trim_start_matches(VOICE).to_owned()
}

impl LocalProvider {
    pub(super) async fn sharing_here(&self) -> Result<Sharing, ProviderError> {
        if self.shares_folders.get().is_some() {
            return Ok(Sharing::Virtiofs);
        }
        let sharing = probe_sharing(&self.settings.program, &self.settings.machines).await?;
        match &sharing {
            // Somebody else may have found the same.
            Sharing::Virtiofs => drop(self.shares_folders.set(())),
            // Who asked tells a person.
            Sharing::Refused { why } => tracing::debug!(%why, "folders cannot be shared with machines"),
        }
        Ok(sharing)
    }

    /// Refuses what the daemon of a folder could not do, before anything else is done. Where that cannot be told,
    /// the daemon is to try.
    pub(super) async fn check_sharing(&self) -> Result<(), ProviderError> {
        match self.sharing_here().await {
            Ok(Sharing::Virtiofs) => Ok(()),
            Ok(Sharing::Refused { why }) => Err(ProviderError::NoSharing { why }),
            Err(error) => {
                tracing::warn!(%error, "going on without knowing whether folders can be shared");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn program_that(shell: &str) -> Result<Sharing, ProviderError> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("machine");
        std::fs::write(&program, format!("#!/bin/sh\n{shell}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        probe_sharing(&program, Path::new("/a folder")).await
    }

    #[tokio::test]
    async fn the_daemon_is_asked_about_the_folder() {
        let asked = program_that(r#"test "$*" = "share --check /a folder""#).await;
        assert_eq!(asked.unwrap(), Sharing::Virtiofs);
    }

    #[tokio::test]
    async fn what_refused_it_is_told_in_its_words() {
        let asked = program_that("echo machine: goes without x >&2; echo machine: cannot have y >&2; exit 1").await;
        assert_eq!(asked.unwrap(), Sharing::Refused { why: "cannot have y".to_owned() });
        assert!(matches!(program_that("kill -31 $$").await, Ok(Sharing::Refused { .. })));
    }

    #[tokio::test]
    async fn who_was_killed_or_did_not_understand_speaks_for_neither() {
        for shell in ["kill -9 $$", "exit 2", "exit 101"] {
            let asked = program_that(shell).await;
            assert!(matches!(asked, Err(ProviderError::Host { .. })), "{shell}: {asked:?}");
        }
    }
}
