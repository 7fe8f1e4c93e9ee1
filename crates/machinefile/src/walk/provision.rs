//! What is done to a machine, in order: each entry has exactly one action.

use std::path::{Path, PathBuf};

use crate::model::{Provision, ProvisionAction, ProvisionWhen, RunAs};
use crate::paths;
use crate::rule::Rule;
use crate::source::Place;
use crate::tree::Node;

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const KEYS: &[&str] = &["run", "script", "file", "content", "mode", "as", "when"];

const ACTIONS: &[&str] = &["run", "script", "file"];
const LATER: &[&str] = &["ansible", "cloud_init", "flake"];
const WHO: &[(&str, RunAs)] = &[("user", RunAs::User), ("root", RunAs::Root)];
const WHEN: &[(&str, ProvisionWhen)] =
    &[("create", ProvisionWhen::Create), ("boot", ProvisionWhen::Boot), ("start", ProvisionWhen::Start)];
const USUAL_MODE: u32 = 0o644;

impl Walk<'_> {
    pub(super) fn provision(&mut self, fields: &Fields<'_>) -> Vec<Provision> {
        let items = self.items(fields, "provision", "[{run: npm ci}]").unwrap_or_default();
        let mut steps = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let entry = self.fields(item, &format!("provision[{number}]"), KEYS);
            steps.extend(self.step(item, &entry));
        }
        steps
    }

    fn step(&mut self, item: &Node, entry: &Fields<'_>) -> Option<Provision> {
        let when = self.choice(entry, "when", WHEN, &[]).unwrap_or(ProvisionWhen::Create);
        let who = self.choice(entry, "as", WHO, &[]);
        let named: Vec<&str> = ACTIONS.iter().chain(LATER).copied().filter(|key| entry.get(key).is_some()).collect();
        if named.len() != 1 {
            let message = match named.len() {
                0 => format!("{} has no action", entry.path),
                _ => format!("{} has several actions: {}", entry.path, named.join(", ")),
            };
            self.note(Rule::E040, item.at, message, "write exactly one of run, script, file");
            return None;
        }
        for key in ["content", "mode"] {
            if let (Some(stray), false) = (entry.entry(key), named == ["file"]) {
                let message = format!("{} goes with file alone", entry.path_of(key));
                self.note(Rule::E040, stray.key_at, message, "take it out");
            }
        }
        let action = match named.first().copied() {
            Some("run") => ProvisionAction::Run(self.text_of(entry, "run")?),
            Some("script") => ProvisionAction::Script(self.script(entry)?),
            Some("file") => self.written_file(entry)?,
            Some(_) | None => return None,
        };
        let usual = match &action {
            ProvisionAction::Run(_) | ProvisionAction::Script(_) => RunAs::User,
            ProvisionAction::File { .. } => RunAs::Root,
        };
        Some(Provision { action, run_as: who.unwrap_or(usual), when })
    }

    fn script(&mut self, entry: &Fields<'_>) -> Option<PathBuf> {
        let text = self.text_of(entry, "script")?;
        let at = entry.get("script")?.at;
        if !paths::is_below(&text) {
            let message = format!("script '{}' is not in the project", short(&text));
            self.note(Rule::E040, at, message, "write its path from the project's folder, without '..'");
            return None;
        }
        self.is_in_project(&text, at);
        Some(PathBuf::from(text))
    }

    fn is_in_project(&mut self, text: &str, at: Place) {
        let path = self.folder.join(text);
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let inside = match (real(self.folder), real(&path)) {
            (Some(folder), Some(script)) => script.starts_with(folder),
            (Some(_) | None, Some(_) | None) => true,
        };
        if !path.is_file() {
            self.note(Rule::E040, at, format!("no such file: {}", short(text)), "make it, or correct the path");
        } else if !inside {
            let message = format!("a symbolic link in {} leaves the project", short(text));
            self.note(Rule::E040, at, message, "keep the script in the project");
        }
    }

    fn written_file(&mut self, entry: &Fields<'_>) -> Option<ProvisionAction> {
        let path = self.guest_path_of(entry, "file", Rule::E040);
        let content = match entry.get("content") {
            Some(node) => self.text(node, &entry.path_of("content"))?,
            None => String::new(),
        };
        let mode = match self.text_of(entry, "mode") {
            Some(text) => self.octal(&text, entry.get("mode")?.at)?,
            None => USUAL_MODE,
        };
        Some(ProvisionAction::File { path: path?, content, mode })
    }

    fn octal(&mut self, text: &str, at: Place) -> Option<u32> {
        let digits = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777);
        if mode.is_none() {
            let message = format!("not an octal mode: '{}'", short(text));
            self.note(Rule::E040, at, message, "write it as \"0644\"");
        }
        mode
    }
}
