//! Going inside: this program starts itself again in namespaces of its own. Process 1 in there reaps whoever is
//! left an orphan, and ends, and with it everything inside, when the process outside ends in whatever way.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Pid, WaitOptions, WaitStatus};

const FIRST: &str = "--first-inside";
const ON_STAGE: &str = "--on-stage";

/// Which of the three processes this is.
pub(crate) enum Role {
    /// Started by somebody.
    Outside,
    /// Process 1 inside.
    First,
    /// Where the stories are told.
    OnStage {
        /// Tells its folders from those of another run.
        suite: String,
    },
}

/// The role, and what the person said who started it.
pub(crate) fn role(mut words: Vec<String>) -> (Role, Vec<String>) {
    match words.first().map(String::as_str) {
        Some(FIRST) => (Role::First, words.split_off(1)),
        Some(ON_STAGE) => {
            let rest = words.split_off(2);
            (Role::OnStage { suite: words.remove(1) }, rest)
        }
        Some(_) | None => (Role::Outside, words),
    }
}

/// Runs the suite inside and ends as it does. Where namespaces cannot be made, that is a failure: a suite that
/// did not run has proven nothing.
pub(crate) fn go_inside(words: &[String]) -> ExitCode {
    if let Err(why) = may_go_inside() {
        eprintln!("network: cannot set the stage: {why}\nnetwork: hint: run as root, where namespaces can be made");
        return ExitCode::FAILURE;
    }
    let suite = std::process::id().to_string();
    let mut inside = inside();
    inside.arg(ourselves()).args([FIRST, &suite]).args(words).stdin(Stdio::piped());
    let ended = inside.spawn().and_then(|mut child| {
        // Its other end is read by process 1: it closes with us.
        let leash = child.stdin.take();
        let ended = child.wait();
        drop(leash);
        ended
    });
    sweep(&suite);
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("network: cannot set the stage: unshare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The way into namespaces of its own, for the program whose name is added.
fn inside() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command
}

fn may_go_inside() -> Result<(), String> {
    let tried = inside().arg("true").output().map_err(|error| format!("unshare: {error}"))?;
    if tried.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()) }
}

/// Process 1: starts the suite, reaps, and ends with its status.
pub(crate) fn reap(words: &[String]) -> ExitCode {
    let name = words.first().cloned().unwrap_or_default();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // Nobody outside is left to do it.
        sweep(&name);
        std::process::exit(1);
    });
    let suite = Command::new(ourselves()).arg(ON_STAGE).args(words).stdin(Stdio::null()).spawn();
    let suite = Pid::from_child(&suite.expect("this program can be started again"));
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == suite => return code(status),
            Ok(Some(_) | None) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => {
                eprintln!("network: cannot wait for the suite: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

fn code(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn ourselves() -> OsString {
    std::env::current_exe().expect("a process knows its program").into_os_string()
}

/// Folders of a suite that was killed.
fn sweep(suite: &str) {
    let ours = format!("network-{suite}-");
    let entries = std::fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR"))).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&ours)) {
        let _ = std::fs::remove_dir_all(entry.path());
    }
}
