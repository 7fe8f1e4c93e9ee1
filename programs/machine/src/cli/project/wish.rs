//! What a Machinefile asks of the server: a template's recipe and a machine. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use machine_core::policy::egress::Entry;
use machine_core::recipe::{CodingAgent, GuestUser, Recipe, Sudo};
use machine_machinefile::Machinefile;
use machine_machinefile::model::{AgentTool, Containers, Isolation, Mount as Shared, MountMode, Root};
use machine_sdk::api::Mount;
use machine_sdk::api::network::{EgressWish, ForwardWish};
use machine_sdk::api::word::AccessWord;
use machine_sdk::api::word::RootWord;
use machine_sdk::api::{Code, CreateMachine, NetworkWish};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::means::{self, Means, Way};
use super::{FILE, FOLDER, PROJECT, Project};
use crate::cli::exit::Failure;

/// What the host runs or obeys, and a guest may not change, from the folder that is mounted. `.git/commondir` would have
/// git take its hooks and settings from another folder.
const GUARDED: [&str; 9] = [
    ".git/hooks",
    ".git/config",
    ".git/config.worktree",
    ".git/commondir",
    ".vscode",
    ".machine",
    "Machinefile",
    "Machinefile.yaml",
    "Machinefile.lock",
];

/// What is guarded in a mounted folder. Where `.git` is a file (of a worktree), it says where hooks are: guarded whole.
pub(crate) fn guard(mount: &Shared) -> Vec<String> {
    if !mount.guard {
        return Vec::new();
    }
    let git_is_file = mount.source.join(".git").is_file();
    let guarded = GUARDED.iter().filter(|path| !(git_is_file && path.starts_with(".git/")));
    guarded.map(|path| (*path).to_owned()).chain(git_is_file.then(|| ".git".to_owned())).collect()
}

/// The template that the file describes.
pub(super) fn recipe(file: &Machinefile) -> Result<Recipe, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::new(Code::InvalidRequest, format!("Machinefile: {error}"));
    fn all<T: std::str::FromStr + Ord>(texts: &[String]) -> Result<std::collections::BTreeSet<T>, T::Err> {
        texts.iter().map(|text| text.parse()).collect()
    }
    let sudo = if file.user.sudo { Sudo::Free } else { Sudo::Refused };
    let user = GuestUser::new(&file.user.name, file.user.uid, sudo);
    let user = user.and_then(|user| user.with_shell(&file.user.shell));
    Ok(Recipe {
        base: None,
        apt: all(&file.packages.apt).map_err(|error| bad(&error))?,
        npm: all(&file.packages.npm).map_err(|error| bad(&error))?,
        pip: all(&file.packages.pip).map_err(|error| bad(&error))?,
        containers: match file.containers {
            Containers::None => machine_core::recipe::Containers::None,
            Containers::Docker => machine_core::recipe::Containers::Docker,
        },
        agents: file.agents.iter().map(agent).collect(),
        user: Some(user.map_err(|error| bad(&error))?),
    })
}

pub(crate) const fn agent(tool: &AgentTool) -> CodingAgent {
    match tool {
        AgentTool::ClaudeCode => CodingAgent::ClaudeCode,
        AgentTool::Codex => CodingAgent::Codex,
    }
}

/// The machine that the file describes, made of a template.
pub(super) fn create(
    project: &Project,
    template: &str,
    envs: BTreeMap<String, String>,
    means: &Means,
) -> CreateMachine {
    let file = &project.file;
    let digest = digest(file, template, &envs);
    let text = |value: &str| Value::String(value.to_owned());
    let mut metadata = Map::from_iter([
        (PROJECT.to_owned(), text(&project.id)),
        (FOLDER.to_owned(), text(&project.folder.to_string_lossy())),
        (FILE.to_owned(), Value::String(digest)),
    ]);
    metadata.extend(means::record(file, means).map(|record| (means::COPIES.to_owned(), record)));
    CreateMachine {
        name: Some(file.name.to_string()),
        template: Some(template.to_owned()),
        vcpus: Some(file.resources.cpus),
        memory_mb: Some(file.resources.memory.0),
        disk_mb: Some(file.resources.disk.0),
        envs,
        labels: file.labels.clone(),
        metadata: Some(metadata),
        cwd: Some(file.workdir.clone()),
        timeout_ms: Some(0),
        start: Some(false),
        network: Some(network(file)),
        root: Some(root(file.root)),
        mounts: mounts(file, means),
        boot_timeout_ms: Some(millis(file.timeouts.boot)),
        stop_grace_ms: Some(millis(file.timeouts.stop)),
        ..CreateMachine::default()
    }
}

pub(super) const fn root(root: Root) -> RootWord {
    match root {
        Root::Ephemeral => RootWord::Ephemeral,
        Root::Persistent => RootWord::Persistent,
        Root::Readonly => RootWord::ReadOnly,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Folders that the guest shares. A copy is no mount: it is carried in when the machine runs.
fn mounts(file: &Machinefile, means: &Means) -> Vec<Mount> {
    let shared = file.mounts.iter().filter(|mount| means::way(file, mount, means) == Way::Shared);
    shared
        .map(|mount| Mount {
            source: mount.source.to_string_lossy().into_owned(),
            target: mount.guest.clone(),
            access: Some(match mount.mode {
                MountMode::Rw | MountMode::Copy => AccessWord::ReadWrite,
                MountMode::Ro => AccessWord::ReadOnly,
            }),
            exclude: mount.exclude.clone(),
            guard: guard(mount),
        })
        .collect()
}

fn network(file: &Machinefile) -> NetworkWish {
    let policy = &file.network.egress;
    let texts = |entries: &[Entry]| entries.iter().map(ToString::to_string).collect();
    let forwards = match file.isolation {
        Isolation::Standard => file.ports.iter().map(|port| ForwardWish::Text(port.to_string())).collect(),
        Isolation::Strict => Vec::new(),
    };
    let has_network = file.network.mode.is_usual();
    let egress = EgressWish {
        policy: Some(policy.otherwise.into()),
        allow: Some(texts(&policy.allow)),
        deny: Some(texts(&policy.deny)),
        ..EgressWish::default()
    };
    NetworkWish {
        mode: Some(file.network.mode.into()),
        egress: has_network.then_some(egress),
        forwards: has_network.then_some(forwards),
        host_ca: Some(has_network && file.network.host_ca),
        find_ports: Some(has_network && file.isolation == Isolation::Standard),
        ..NetworkWish::default()
    }
}

/// The digest of all that makes a machine another one: the file as it is meant, its template, its environment.
pub(super) fn digest(file: &Machinefile, template: &str, envs: &BTreeMap<String, String>) -> String {
    let meant = serde_json::json!({ "file": file, "template": template, "envs": envs });
    hex(&Sha256::digest(meant.to_string().as_bytes()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
