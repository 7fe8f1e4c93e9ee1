//! Every package obeys the same lints, and holds something.

use crate::{none, tree};

/// A file with fewer lines holds nothing.
const SOMETHING: usize = 10;

#[test]
fn every_package_obeys_the_workspace_lints() {
    let mut findings = Vec::new();
    for package in tree::packages() {
        let manifest = std::fs::read_to_string(tree::root().join(&package).join("Cargo.toml")).unwrap_or_default();
        if !obeys(&manifest) {
            findings.push(format!("{package}/Cargo.toml:1: add `[lints]` with `workspace = true`"));
        }
    }
    none("packages with lints of their own", &findings);
}

#[test]
fn every_package_holds_something() {
    let sources = tree::sources();
    let holds = |package: &String| {
        let inside = format!("{package}/");
        sources.iter().any(|source| source.path.starts_with(&inside) && source.text.lines().count() > SOMETHING)
    };
    let empty = tree::packages().into_iter().filter(|package| !holds(package));
    let told: Vec<String> =
        empty.map(|package| format!("{package}: nothing lives here: fill the room, or take it away")).collect();
    none("empty rooms", &told);
}

#[test]
fn lints_are_read_in_both_spellings() {
    assert!(obeys("[package]\n[lints]\nworkspace = true\n") && obeys("lints.workspace = true\n"));
    assert!(!obeys("[lints]\n[lints.rust]\nworkspace = true\n") && !obeys("[package]\nversion.workspace = true\n"));
}

fn obeys(manifest: &str) -> bool {
    let lints = manifest.split("[lints]\n").nth(1).unwrap_or_default();
    lints.lines().take_while(|line| !line.starts_with('[')).any(|line| line.trim() == "workspace = true")
        || manifest.lines().any(|line| line.trim() == "lints.workspace = true")
}
