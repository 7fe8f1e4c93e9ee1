//! No stairs up: which of our packages may use which. A new edge is a change of this list, in a commit
//! of its own; an edge that nobody uses any more leaves it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::{none, tree};

/// Who uses whom. Both ends by folder name; edges of rooms that are not built yet are passed over.
const EDGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("agent-protocol", &[]),
    ("hypervisor", &["core"]),
    ("image", &["core"]),
    ("store", &["core"]),
    ("network", &["core"]),
    ("share", &[]),
    ("api", &["core"]),
    ("engine", &["core"]),
    ("provider", &["core", "hypervisor", "network"]),
    ("guest", &["core", "agent-protocol"]),
    ("machinefile", &["core"]),
    ("server", &["core", "api", "engine"]),
    ("sdk", &["api"]),
    ("machine-agent", &["agent-protocol"]),
    ("bench", &["sdk", "guest"]),
];

/// May use everything but the testkit and the agent, which is built for the guest.
const WIRES_EVERYTHING: &str = "machine";
/// Only ever a dev-dependency.
const TESTKIT: &str = "testkit";
/// Run by developers alone, and used by nothing.
const OUTSIDE: &[&str] = &["tests", "xtask", TESTKIT];

/// What the command line may not know of: it has no private door.
const BEHIND_THE_API: &[&str] = &[
    "machine_engine",
    "machine_store",
    "machine_hypervisor",
    "machine_provider",
    "machine_image",
    "machine_guest",
    "machine_server",
    "machine_network",
    "machine_share",
];

struct Package {
    room: String,
    uses: BTreeSet<String>,
}

#[test]
fn packages_use_only_the_floors_below() {
    let packages = packages();
    let built: BTreeSet<&str> = packages.iter().map(|package| package.room.as_str()).collect();
    let findings: Vec<String> = packages.iter().flat_map(|package| judge(package, &built)).collect();
    none("edges between our packages (tests/repo/floors.rs holds the allowed ones)", &findings);
}

#[test]
fn the_command_line_sees_only_the_public_client() {
    let mut findings = Vec::new();
    for source in tree::sources().iter().filter(|source| source.path.starts_with("programs/machine/src/cli")) {
        for (line, code) in source.code.lines() {
            let known = BEHIND_THE_API.iter().find(|name| code.contains(**name));
            findings.extend(known.map(|name| format!("{}:{line}: names {name}: ask machine_sdk instead", source.path)));
        }
    }
    none("private doors of the command line", &findings);
}

#[test]
fn a_judge_names_new_and_missing_edges() {
    let built: BTreeSet<&str> = ["core", "api", "sdk", "engine", "testkit", "machine", "machine-agent"].into();
    let judged = |room: &str, uses: &[&str]| {
        let uses = uses.iter().map(|used| (*used).to_owned()).collect();
        judge(&Package { room: room.to_owned(), uses }, &built).len()
    };
    assert_eq!(judged("sdk", &["api"]), 0);
    assert_eq!(judged("sdk", &["api", "engine"]), 1, "new");
    assert_eq!(judged("sdk", &[]), 1, "missing");
    assert_eq!(judged("provider", &["core"]), 0, "its other rooms are not built");
    assert_eq!(judged("machine", &["core", "sdk", "engine"]), 0);
    assert_eq!(judged("machine", &["testkit"]), 1);
    assert_eq!(judged("machine", &["machine-agent"]), 1);
    assert_eq!(judged("cellar", &[]), 1, "a room that the list does not know");
}

fn judge(package: &Package, built: &BTreeSet<&str>) -> Vec<String> {
    let room = package.room.as_str();
    if OUTSIDE.contains(&room) {
        return Vec::new();
    }
    if room == WIRES_EVERYTHING {
        let banned = |used: &&String| OUTSIDE.contains(&used.as_str()) || used.as_str() == "machine-agent";
        return package.uses.iter().filter(banned).map(|used| format!("{room} -> {used}: take it out")).collect();
    }
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == room) else {
        return vec![format!("{room}: a new room: add it to EDGES, and to the floors in ARCHITECTURE.md")];
    };
    let new = package.uses.iter().filter(|used| !allowed.contains(&used.as_str()));
    let new = new.map(|used| format!("{room} -> {used}: not allowed: take it out, or change the floors first"));
    let missing = allowed.iter().filter(|used| built.contains(**used) && !package.uses.contains(**used));
    new.chain(missing.map(|used| format!("{room} -> {used}: nobody uses it: take it off EDGES, or use it"))).collect()
}

/// Our packages with what they use when they are built; dev-dependencies do not count.
fn packages() -> Vec<Package> {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(tree::root())
        .output()
        .expect("cargo is here");
    assert!(cargo.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).expect("JSON");
    each(&metadata, "packages").map(package).collect()
}

fn package(package: &Value) -> Package {
    let ours = each(package, "dependencies").filter(|used| used["path"].is_string() && used["kind"] != "dev");
    let uses = ours.map(|used| folder(used["path"].as_str().unwrap_or_default())).collect();
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    Package { room: folder(manifest.trim_end_matches("/Cargo.toml")), uses }
}

fn folder(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn each<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}
