//! Drawers are not rooms: names that say nothing are refused, and so is work that only pretends.

use crate::{none, tree};

/// Names of modules, files and folders that say nothing of what lives there.
const DRAWERS: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "inner", "misc"];
/// Endings of types that say nothing of what the type is.
const EMPTY_ENDINGS: &[&str] = &["Manager", "Helper", "Inner"];
/// Work that only pretends, as code.
const PRETENCE: &[&str] = &["todo!(", "unimplemented!(", "#[ignore"];
/// Work left for later, in whatever comment. Put together here, so that this file passes.
const FOR_LATER: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

#[test]
fn modules_and_files_say_what_lives_there() {
    let mut findings = Vec::new();
    for source in tree::sources() {
        let path = source.path.trim_end_matches(".rs");
        if let Some(drawer) = path.split('/').find(|part| DRAWERS.contains(part)) {
            findings.push(format!("{}:1: '{drawer}' names no room: name it after its noun or verb", source.path));
        }
        let drawers = source.code.words_after("mod").into_iter().filter(|(_, name)| DRAWERS.contains(name));
        findings
            .extend(drawers.map(|(line, name)| format!("{}:{line}: mod {name}: name its noun or verb", source.path)));
    }
    none("drawers", &findings);
}

#[test]
fn types_say_what_they_are() {
    let mut findings = Vec::new();
    for source in tree::sources() {
        for kind in ["struct", "enum", "trait", "type", "union"] {
            let empty = source.code.words_after(kind).into_iter().filter(|(_, name)| is_empty(name));
            findings.extend(empty.map(|(line, name)| format!("{}:{line}: {kind} {name}: name the thing", source.path)));
        }
    }
    none("types named for nothing", &findings);
}

#[test]
fn no_work_is_pretended() {
    let mut findings = Vec::new();
    for source in tree::sources() {
        for (line, code) in source.code.lines() {
            let found = PRETENCE.iter().find(|pretence| code.contains(**pretence));
            findings
                .extend(found.map(|pretence| {
                    format!("{}:{line}: {pretence}: do it, or refuse with a typed error", source.path)
                }));
        }
        for marker in FOR_LATER {
            let marked = tree::lines_with(&source.text, marker);
            findings
                .extend(marked.map(|line| format!("{}:{line}: {marker}: do it now, or open an issue", source.path)));
        }
    }
    none("pretended work", &findings);
}

#[test]
fn an_ending_alone_is_refused_too() {
    assert!(is_empty("Manager") && is_empty("LeaseManager") && !is_empty("Managed") && !is_empty("Winner"));
}

fn is_empty(name: &str) -> bool {
    EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending))
}
