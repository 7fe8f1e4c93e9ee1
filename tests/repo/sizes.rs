//! A file is read in one go, a function at one glance. What is longer is asked why, in `asked.txt`.

use std::collections::BTreeMap;

use crate::{none, tree};

const FILE: Limits = Limits { asked: 400, end: 700, what: "file" };
const FUNCTION: Limits = Limits { asked: 40, end: 80, what: "function" };
const ASKED: &str = "tests/repo/asked.txt";

struct Limits {
    asked: usize,
    end: usize,
    what: &'static str,
}

/// The longest thing that goes by a key of `asked.txt`.
struct Measured {
    line: usize,
    length: usize,
}

#[test]
fn files_are_short() {
    let mut measured = BTreeMap::new();
    for source in tree::sources() {
        measured.insert(source.path, Measured { line: 1, length: source.text.lines().count() });
    }
    none("files", &judge(&FILE, &measured, &asked(|key| !key.contains(" fn "))));
}

#[test]
fn functions_are_short() {
    let mut measured: BTreeMap<String, Measured> = BTreeMap::new();
    for source in tree::sources() {
        for function in source.code.functions() {
            let key = format!("{} fn {}", source.path, function.name);
            let longest = measured.get(&key).map_or(0, |known| known.length);
            if function.length >= longest {
                measured.insert(key, Measured { line: function.line, length: function.length });
            }
        }
    }
    none("functions", &judge(&FUNCTION, &measured, &asked(|key| key.contains(" fn "))));
}

#[test]
fn the_asked_ones_are_judged_both_ways() {
    let measured = [("short", 40), ("long", 41), ("asked", 41), ("endless", 81), ("asked and endless", 81)];
    let measured = measured.map(|(key, length)| (key.to_owned(), Measured { line: 1, length }));
    let asked = ["asked", "asked and endless", "short", "gone"].map(|key| (key.to_owned(), "why".to_owned()));
    let findings = judge(&FUNCTION, &measured.into(), &asked.into());
    let about: Vec<&str> = findings.iter().filter_map(|finding| finding.split(':').next()).collect();
    assert_eq!(about, ["asked and endless", "endless", "long", ASKED, ASKED]);
}

fn judge(limits: &Limits, measured: &BTreeMap<String, Measured>, asked: &BTreeMap<String, String>) -> Vec<String> {
    let Limits { asked: soft, end, what } = limits;
    let mut findings = Vec::new();
    for (key, Measured { line, length }) in measured {
        if length > end {
            findings.push(format!(
                "{}: {length} lines; {end} is the end for a {what}: split it by verb",
                place(key, *line)
            ));
        } else if length > soft && !asked.contains_key(key) {
            let or = format!("or say why in {ASKED}");
            findings
                .push(format!("{}: {length} lines, a {what} has at most {soft}: split it, {or}", place(key, *line)));
        }
    }
    for (key, reason) in asked {
        let length = measured.get(key).map_or(0, |measured| measured.length);
        if length <= *soft {
            findings.push(format!("{ASKED}: {key}: {length} lines now: take it off the list"));
        } else if reason.is_empty() {
            findings.push(format!("{ASKED}: {key}: no reason is given"));
        }
    }
    findings
}

/// `file:line`, and which function.
fn place(key: &str, line: usize) -> String {
    match key.split_once(" fn ") {
        Some((path, name)) => format!("{path}:{line}: fn {name}"),
        None => format!("{key}:{line}"),
    }
}

fn asked(which: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let list = include_str!("asked.txt").lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let entries = list.map(|line| line.split_once(':').unwrap_or((line, "")));
    let entries = entries.map(|(key, reason)| (key.trim().to_owned(), reason.trim().to_owned()));
    entries.filter(|(key, _)| which(key)).collect()
}
