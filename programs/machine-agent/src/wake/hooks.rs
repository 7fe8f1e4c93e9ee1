//! What the guest's owner wants done when a machine begins a life: each executable in `/etc/machine/resume.d`, in
//! the order of their names, one after the other. They cannot stop the machine from waking.
//!
//! ```text
//! next ──launch──▶ running ──ends──▶ next      no time left ──▶ killed; the others are not run
//! ```

use super::parse::{Waking, Which};
use crate::exec::stdio;
use crate::house::DefaultEnv;
use crate::reaper::Reaper;
use crate::{script, sys};
use machine_agent_protocol::{Ending, WakeOrigin};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

const FOLDER: &str = "/etc/machine/resume.d";
/// For all together.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_FAILURES: usize = 64;

/// The hooks that there are.
pub(super) fn all() -> Vec<PathBuf> {
    script::of_folder(FOLDER)
}

/// What hooks learn beside the machine's environment.
fn environment(which: &Which, hostname: &str, env: &DefaultEnv) -> DefaultEnv {
    let origin = match which.origin {
        WakeOrigin::Boot => "boot",
        WakeOrigin::Image => "image",
        WakeOrigin::Saved => "saved",
    };
    let ours = [
        ("MACHINE_ID", which.id.clone()),
        ("MACHINE_NAME", hostname.to_owned()),
        ("MACHINE_GENERATION", which.generation.to_string()),
        ("MACHINE_ORIGIN", origin.to_owned()),
    ];
    let mut all = env.clone();
    all.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// Runs them all and answers which failed, and how.
pub(super) async fn run(reaper: &Reaper, hooks: &[PathBuf], waking: &Waking) -> Vec<String> {
    if hooks.is_empty() {
        return Vec::new();
    }
    let env = environment(&waking.which, &waking.hostname, &waking.env);
    let until = Instant::now() + PATIENCE;
    let mut failed = Vec::new();
    for hook in hooks {
        let name = hook.file_name().unwrap_or_default().to_string_lossy();
        if let Some(how) = run_one(reaper, hook, &env, until).await {
            failed.push(format!("{name}: {how}"));
        }
    }
    failed.truncate(MOST_FAILURES);
    failed
}

/// How it failed, if it did.
async fn run_one(reaper: &Reaper, hook: &Path, env: &DefaultEnv, until: Instant) -> Option<String> {
    if Instant::now() >= until {
        return Some("not run: no time was left".to_owned());
    }
    let launch = match streams().and_then(|stdio| script::launch(hook, env, stdio)) {
        Ok(launch) => launch,
        Err(error) => return Some(format!("cannot start: {error}")),
    };
    let launched = match reaper.launch(launch).await {
        Ok(launched) => launched,
        Err(error) => return Some(with_source(&error)),
    };
    let ending = timeout_at(until, launched.ending).await;
    // What it left behind may stay, unless its time is up.
    match ending {
        Ok(Ok(Ending::Code(0))) => None,
        Ok(Ok(Ending::Code(code))) => Some(format!("exit code {code}")),
        Ok(Ok(Ending::Signal(signal))) => Some(format!("ended by signal {signal}")),
        Ok(Err(_)) => Some("nobody saw it end".to_owned()),
        Err(_) => {
            // It may have ended in this moment.
            sys::signal_group(launched.pid, libc::SIGKILL).unwrap_or_default();
            Some(format!("killed: hooks have {} s together", PATIENCE.as_secs()))
        }
    }
}

/// Nothing to read; what it says goes where we say ours, to the console.
fn streams() -> io::Result<[std::os::fd::OwnedFd; 3]> {
    let console = || rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3);
    Ok([stdio::null()?, console()?, console()?])
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_know_which_machine_they_are_in() {
        let which = Which { id: "m1".into(), generation: 4, origin: WakeOrigin::Image };
        let env = environment(&which, "web", &[("A".to_owned(), "b".to_owned())].into());
        let all: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(all, ["A=b", "MACHINE_GENERATION=4", "MACHINE_ID=m1", "MACHINE_NAME=web", "MACHINE_ORIGIN=image"]);
    }
}
