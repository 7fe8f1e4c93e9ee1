//! Changes for a person, a line each as `git status --short` has it, and for a program as JSON. Names come
//! from a guest: control characters in them are escaped.

use std::ffi::OsStr;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::changes::{Change, Changes, Counts, Obstacle, What};
use super::inside::{Inside, shown, written};
use super::write::LeftOut;
use crate::cli::copy::entry::Entry;
use crate::cli::paint::Paint;

/// How many lines of one sort a person reads.
const LINES: usize = 2000;

/// The changes, a line each.
pub(crate) fn render(changes: &Changes, paint: Paint) -> String {
    let mut text = String::new();
    for change in changes.all.iter().take(LINES) {
        let (letter, painted): (&str, fn(Paint, &str) -> String) = match &change.what {
            What::Added(_) => ("A", Paint::green),
            What::Modified { .. } => ("M", Paint::yellow),
            What::Mode { .. } => ("P", Paint::yellow),
            What::Kind { .. } => ("T", Paint::yellow),
            What::Deleted(_) => ("D", Paint::red),
        };
        let mark = if change.obstacles.is_empty() { " " } else { "!" };
        let name = name(change);
        let _ = writeln!(text, "{} {name}{}", painted(paint, &format!("{letter}{mark}")), notes(change, paint));
    }
    if changes.all.len() > LINES {
        let _ = writeln!(text, "... and {} more (--json has all)", changes.all.len() - LINES);
    }
    text
}

fn name(change: &Change) -> String {
    let name = shown(change.path.path().as_os_str());
    match change.now() {
        Some(Entry::Folder { .. }) => format!("{name}/"),
        Some(Entry::Link { target }) => format!("{name} -> {}", shown(target.as_os_str())),
        Some(Entry::File { .. } | Entry::Other) => name,
        None if matches!(change.what, What::Deleted(Entry::Folder { .. })) => format!("{name}/"),
        None => name,
    }
}

fn notes(change: &Change, paint: Paint) -> String {
    let mut notes = Vec::new();
    if let What::Mode { was, now } = &change.what
        && let (Some(was), Some(now)) = (was.mode(), now.mode())
    {
        notes.push(format!("mode {was} to {now}"));
    }
    if let What::Kind { was, now } = &change.what {
        notes.push(format!("{} to {}", kind(was), kind(now)));
    }
    notes.extend(change.obstacles.iter().map(|obstacle| told(*obstacle).to_owned()));
    if notes.is_empty() { String::new() } else { paint.dim(&format!("  ({})", notes.join("; "))) }
}

const fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::File { .. } => "file",
        Entry::Folder { .. } => "folder",
        Entry::Link { .. } => "link",
        Entry::Other => "special file",
    }
}

const fn told(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Guarded => "guarded, stays as it is here",
        Obstacle::LeadsOut => "the link leads out of the folder",
        Obstacle::Special => "a special file",
        Obstacle::Conflict => "changed here, too",
    }
}

const fn word(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Guarded => "guarded",
        Obstacle::LeadsOut => "leads_out",
        Obstacle::Special => "special",
        Obstacle::Conflict => "conflict",
    }
}

/// Why a change was left out.
pub(crate) const fn why(left_out: LeftOut) -> &'static str {
    match left_out {
        LeftOut::Obstacle(obstacle) => told(obstacle),
        LeftOut::ChangedMeanwhile => "changed here since it was compared",
        LeftOut::NotEmpty => "something in it stays",
        LeftOut::NoWay => "the way to it is no folder here",
    }
}

const fn why_word(left_out: LeftOut) -> &'static str {
    match left_out {
        LeftOut::Obstacle(obstacle) => word(obstacle),
        LeftOut::ChangedMeanwhile => "changed_meanwhile",
        LeftOut::NotEmpty => "not_empty",
        LeftOut::NoWay => "no_way",
    }
}

/// What was left out, a line each.
pub(crate) fn left_out(left: &[(Inside, LeftOut)]) -> String {
    let line =
        |(path, why): &(Inside, LeftOut)| format!("  {} ({})\n", shown(path.path().as_os_str()), self::why(*why));
    let mut text: String = left.iter().take(LINES).map(line).collect();
    if left.len() > LINES {
        let _ = writeln!(text, "  ... and {} more (--json has all)", left.len() - LINES);
    }
    text
}

/// The changes in one line.
pub(crate) fn summary(counts: Counts) -> String {
    let Counts { added, modified, deleted, conflicts, refused } = counts;
    let mut text = format!("{added} added, {modified} modified, {deleted} deleted");
    if conflicts > 0 {
        let _ = write!(text, "; {conflicts} changed on both sides");
    }
    if refused > 0 {
        let _ = write!(text, "; {refused} not to be copied");
    }
    text
}

/// The changes for a program. A path is UTF-8 as it is, with `%XX` for other bytes and for `%`.
pub(crate) fn document(changes: &Changes) -> Value {
    let change = |change: &Change| {
        let (word, was) = match &change.what {
            What::Added(_) => ("added", None),
            What::Modified { was, .. } => ("modified", Some(was)),
            What::Mode { was, .. } => ("mode", Some(was)),
            What::Kind { was, .. } => ("kind", Some(was)),
            What::Deleted(was) => ("deleted", Some(was)),
        };
        let obstacles: Vec<&str> = change.obstacles.iter().map(|obstacle| self::word(*obstacle)).collect();
        json!({
            "path": path(&change.path),
            "change": word,
            "before": was.map(entry),
            "after": change.now().map(entry),
            "obstacles": obstacles,
        })
    };
    changes.all.iter().map(change).collect()
}

/// What was left out, for a program.
pub(crate) fn left_out_document(left: &[(Inside, LeftOut)]) -> Value {
    left.iter().map(|(path, why)| json!({ "path": self::path(path), "why": why_word(*why) })).collect()
}

fn path(path: &Inside) -> String {
    written(path.path().as_os_str())
}

fn entry(entry: &Entry) -> Value {
    let link = |target: &OsStr| written(target);
    match entry {
        Entry::File { mode, size, digest } => {
            json!({ "kind": "file", "mode": mode.to_string(), "size": size, "sha256": digest.to_string() })
        }
        Entry::Folder { mode } => json!({ "kind": "folder", "mode": mode.to_string() }),
        Entry::Link { target } => json!({ "kind": "link", "target": link(target.as_os_str()) }),
        Entry::Other => json!({ "kind": "special" }),
    }
}
