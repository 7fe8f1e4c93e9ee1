//! The environment is read in one place, so that `machine config` can say where each setting came from.

use crate::{none, tree};

const SETTINGS: &str = "programs/machine/src/settings.rs";

#[test]
fn the_environment_is_read_in_one_place() {
    let mut findings = Vec::new();
    for source in tree::sources() {
        if source.path == SETTINGS || source.path.ends_with("/build.rs") || tree::is_test(&source.path) {
            continue;
        }
        let reading = source.code.lines().filter(|(_, code)| reads_environment(code));
        findings.extend(reading.map(|(line, _)| {
            format!("{}:{line}: reads the environment: do so in {SETTINGS}, pass values", source.path)
        }));
    }
    none("the environment is read elsewhere", &findings);
}

#[test]
fn what_the_compiler_reads_is_no_setting() {
    for code in ["std::env::var(x)", "env::var_os(x)", "use std::env::{var, args};", "for v in env::vars() {"] {
        assert!(reads_environment(code), "{code}");
    }
    for code in ["env!(x)", "env::args()", "env::current_dir()", "use std::env::{args, temp_dir};", "env::variety()"] {
        assert!(!reads_environment(code), "{code}");
    }
}

fn reads_environment(code: &str) -> bool {
    code.match_indices("env::").any(|(at, module)| {
        let named = &code[at + module.len()..];
        let list = named.strip_prefix('{').map_or(named, |list| list.split('}').next().unwrap_or(list));
        let parts = if named.starts_with('{') { list.split(',').collect() } else { vec![named] };
        parts.iter().any(|part| {
            let word = part.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next();
            matches!(word, Some("var" | "var_os" | "vars" | "vars_os"))
        })
    })
}
