//! All supervisors of a home that run on this computer, found by their command lines. Whoever is not known
//! to the ledger is an orphan; whether one is, is decided elsewhere.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use super::identity::{Held, Identity};
use crate::boot_plan::RunFolder;
use crate::supervise::SUPERVISE_VERB;

/// It has one VMM to kill and one file to write.
const POLITE: Duration = Duration::from_secs(2);

/// A supervisor that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisor {
    /// Its process.
    pub process: Identity,
    /// The run folder that it was given, which may be gone by now.
    pub run: RunFolder,
}

/// Every supervisor whose run folder is under `home`.
pub fn supervisors(home: &Path) -> io::Result<Vec<Supervisor>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may end while we look at it; then it is not there.
        let Ok(identity) = Identity::of(pid) else { continue };
        let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        if let Some(run) = run_folder(&arguments).filter(|run| run.starts_with(home)) {
            found.push(Supervisor { process: identity, run: RunFolder(run) });
        }
    }
    Ok(found)
}

/// Kills every companion with exactly these arguments, and waits until none is left. For one that does not answer:
/// its supervisor starts the next. How many there were.
pub async fn kill_companions(arguments: &[String]) -> io::Result<usize> {
    let mut killed = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(identity) = Identity::of(pid) else { continue };
        let Ok(words) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        if !is_companion(&words, arguments) {
            continue;
        }
        if let Some(process) = Held::open(identity)? {
            process.signal(Signal::KILL)?;
            process.gone().await?;
            killed += 1;
        }
    }
    Ok(killed)
}

fn is_companion(words: &[u8], arguments: &[String]) -> bool {
    let Some(words) = words.strip_suffix(b"\0") else { return false };
    words.split(|&byte| byte == 0).skip(1).eq(arguments.iter().map(String::as_bytes))
}

/// `machine supervise RUN/plan.json`, and nothing after it.
fn run_folder(arguments: &[u8]) -> Option<PathBuf> {
    let mut words = arguments.strip_suffix(b"\0")?.split(|&byte| byte == 0);
    let (_program, verb, plan) = (words.next()?, words.next()?, words.next()?);
    if verb != SUPERVISE_VERB.as_bytes() || words.next().is_some() {
        return None;
    }
    let plan = PathBuf::from(OsString::from_vec(plan.to_vec()));
    plan.parent().map(Path::to_owned)
}

impl Supervisor {
    /// Ends it and, with it, its VMM. For one whose run folder cannot be adopted any more. Twice is once.
    pub async fn end(&self) -> io::Result<()> {
        let Some(process) = Held::open(self.process)? else { return Ok(()) };
        process.signal(Signal::TERM)?;
        if let Ok(gone) = timeout(POLITE, process.gone()).await {
            return gone;
        }
        process.signal(Signal::KILL)?;
        process.gone().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_supervisors_command_line_is_one() {
        let found = |line: &str| run_folder(line.replace(' ', "\0").as_bytes());
        assert_eq!(found("machine supervise /h/run/m1/plan.json "), Some(PathBuf::from("/h/run/m1")));
        for other in ["", " ", "machine ", "machine supervise ", "sh -c /h/plan.json ", "machine supervise /h/p x "] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn only_a_companions_command_line_is_one() {
        let is = |line: &str| is_companion(line.replace(' ', "\0").as_bytes(), &["gateway".into(), "/h/g.json".into()]);
        assert!(is("machine gateway /h/g.json "));
        for other in ["", " ", "machine gateway ", "machine gateway /h/g.json x ", "machine gateway /h/g.jso "] {
            assert!(!is(other), "{other}");
        }
    }
}
