//! What a QEMU binary offers: asked once over QMP, kept in the cache folder until the binary changes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::cpu_model::KVM_BEST_FIRST;
use super::machine_type::Q35;
use super::qmp::Qmp;
use crate::accelerator::Accelerator;
use crate::driver::ControlError;
use crate::whole_file;

/// A QEMU without a machine answers in a tenth of a second.
const ANSWER: Duration = Duration::from_secs(20);

const CACHE_FILE: &str = "qemu.json";

/// A QEMU binary, and what a plan needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// The binary.
    pub program: PathBuf,
    /// Its version, as it says it: part of what a saved machine depends on.
    pub version: String,
    /// The versioned q35 machine types that it offers.
    pub machine_types: Vec<Q35>,
    /// Which of the known processor models run here under KVM; empty where KVM does not run.
    pub kvm_cpu_models: Vec<String>,
}

/// Why we do not know the binary.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It is not there, or cannot be run.
    #[error("cannot run {}", program.display())]
    Run {
        /// The binary.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It runs, but does not answer.
    #[error("cannot ask {} what it offers", program.display())]
    Ask {
        /// The binary.
        program: PathBuf,
        /// Why.
        source: ControlError,
    },
}

/// The same key means the same answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    program: PathBuf,
    inode: u64,
    bytes: u64,
    modified_ns: i128,
    accelerator: Accelerator,
    our_version: String,
}

#[derive(Serialize, Deserialize)]
struct Cached {
    key: Key,
    installation: Installation,
}

impl Installation {
    /// Asks the binary, or remembers what it said.
    pub async fn probe(program: &Path, accelerator: Accelerator, cache: &Path) -> Result<Self, ProbeError> {
        let failed = |source| ProbeError::Run { program: program.to_owned(), source };
        let key = Key::of(program, accelerator).map_err(failed)?;
        let file = cache.join(CACHE_FILE);
        // A cache that cannot be read is an empty one.
        if let Ok(Some(Cached { key: known, installation })) = whole_file::read_json(&file)
            && known == key
        {
            return Ok(installation);
        }
        let installation = ask(program, accelerator).await?;
        let cached = Cached { key, installation };
        if let Err(error) = fs::create_dir_all(cache).and_then(|()| whole_file::write_json(&file, &cached)) {
            tracing::warn!(%error, file = %file.display(), "cannot keep what QEMU offers; it is asked again next time");
        }
        Ok(cached.installation)
    }
}

impl Key {
    fn of(program: &Path, accelerator: Accelerator) -> io::Result<Self> {
        let about = fs::metadata(program)?;
        Ok(Self {
            program: program.to_owned(),
            inode: about.ino(),
            bytes: about.size(),
            modified_ns: i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec()),
            accelerator,
            our_version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

async fn ask(program: &Path, accelerator: Accelerator) -> Result<Installation, ProbeError> {
    let mut child =
        start(program, accelerator).map_err(|source| ProbeError::Run { program: program.to_owned(), source })?;
    let answers = interview(&mut child, accelerator).await;
    // It is ours, has no machine and nothing to lose; dropping it would do the same, later.
    let _ = child.kill().await;
    let (version, machine_types, kvm_cpu_models) =
        answers.map_err(|source| ProbeError::Ask { program: program.to_owned(), source })?;
    Ok(Installation { program: program.to_owned(), version, machine_types, kvm_cpu_models })
}

fn start(program: &Path, accelerator: Accelerator) -> io::Result<Child> {
    let accelerator = match accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "tcg",
    };
    Command::new(program)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "none", "-S"])
        .args(["-accel", accelerator, "-qmp", "stdio"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

type Answers = (String, Vec<Q35>, Vec<String>);

async fn interview(child: &mut Child, accelerator: Accelerator) -> Result<Answers, ControlError> {
    let closed = || ControlError::Closed { command: "greeting" };
    let (stdout, stdin) = (child.stdout.take().ok_or_else(closed)?, child.stdin.take().ok_or_else(closed)?);
    let (qmp, _events) = Qmp::greet(tokio::io::join(stdout, stdin), ANSWER).await?;
    let version = version(&qmp.execute("query-version", None, ANSWER).await?);
    let machine_types = machine_types(&qmp.execute("query-machines", None, ANSWER).await?);
    let kvm_cpu_models = match accelerator {
        Accelerator::Kvm => usable_models(&qmp.execute("query-cpu-definitions", None, ANSWER).await?),
        Accelerator::Tcg => Vec::new(),
    };
    Ok((version, machine_types, kvm_cpu_models))
}

fn version(answer: &Value) -> String {
    let number = |name: &str| answer["qemu"][name].as_u64().unwrap_or(0);
    let package = answer["package"].as_str().unwrap_or("");
    format!("{}.{}.{} {package}", number("major"), number("minor"), number("micro")).trim_end().to_owned()
}

fn machine_types(answer: &Value) -> Vec<Q35> {
    let mut found: Vec<Q35> = names(answer).filter_map(|(name, _)| Q35::parse(name)).collect();
    found.sort_unstable();
    found
}

/// Those of our models for which the host lacks nothing.
fn usable_models(answer: &Value) -> Vec<String> {
    let complete = |about: &Value| about["unavailable-features"].as_array().is_some_and(Vec::is_empty);
    let mut found: Vec<String> = names(answer)
        .filter(|(name, about)| KVM_BEST_FIRST.contains(name) && complete(about))
        .map(|(name, _)| name.to_owned())
        .collect();
    found.sort_unstable();
    found
}

fn names(answer: &Value) -> impl Iterator<Item = (&str, &Value)> {
    answer.as_array().into_iter().flatten().filter_map(|about| Some((about["name"].as_str()?, about)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_model_with_a_missing_feature_is_not_usable() {
        let answer = json!([
            {"name": "Haswell-v4", "unavailable-features": []},
            {"name": "SapphireRapids-v2", "unavailable-features": ["amx-tile"]},
            {"name": "Nehalem-v1"},
            {"name": "host", "unavailable-features": []},
        ]);
        assert_eq!(usable_models(&answer), ["Haswell-v4"]);
    }

    #[test]
    fn nonsense_from_the_binary_is_no_offer() {
        for nonsense in [json!(null), json!({"a": 1}), json!([1, {"name": 3}, []])] {
            assert!(machine_types(&nonsense).is_empty() && usable_models(&nonsense).is_empty());
            assert_eq!(version(&nonsense), "0.0.0");
        }
    }
}
