//! Folders of the host in the guest.

use std::path::{Path, PathBuf};

use crate::model::{Isolation, Mount, MountMode};
use crate::paths;
use crate::rule::Rule;
use crate::source::Place;
use crate::tree::Node;

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const KEYS: &[&str] = &["host", "guest", "mode", "exclude", "guard"];

const MODES: &[(&str, MountMode)] = &[("rw", MountMode::Rw), ("ro", MountMode::Ro), ("copy", MountMode::Copy)];
/// Folders of the guest's system: nothing is mounted on them or below.
const SYSTEM: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
];
/// Folders that hold others: nothing is mounted on them.
const FULL: &[&str] = &["/", "/home", "/root", "/tmp", "/usr", "/usr/local", "/usr/share", "/var", "/var/lib"];

impl Walk<'_> {
    pub(super) fn mounts(&mut self, fields: &Fields<'_>, isolation: Isolation) -> Vec<Mount> {
        let Some(items) = self.items(fields, "mounts", "[{host: ., guest: /workspace}]") else {
            return match isolation {
                Isolation::Standard => vec![self.usual_mount()],
                Isolation::Strict => Vec::new(),
            };
        };
        let mut mounts: Vec<Mount> = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let entry = self.fields(item, &format!("mounts[{number}]"), KEYS);
            let Some(mount) = self.mount(item, &entry) else { continue };
            let guest_at = entry.get("guest").map_or(item.at, |node| node.at);
            if mounts.iter().any(|known| known.guest == mount.guest) {
                let message = format!("two mounts on {}", mount.guest);
                self.note(Rule::E021, guest_at, message, "give each mount a folder of its own in the guest");
            }
            self.fits(&mount, isolation, entry.get("mode").map_or(item.at, |node| node.at));
            mounts.push(mount);
        }
        mounts
    }

    fn usual_mount(&self) -> Mount {
        Mount {
            host: PathBuf::from("."),
            source: self.folder.to_owned(),
            guest: "/workspace".to_owned(),
            mode: MountMode::Rw,
            exclude: Vec::new(),
            guard: true,
        }
    }

    fn mount(&mut self, item: &Node, entry: &Fields<'_>) -> Option<Mount> {
        let host = self.text_of(entry, "host");
        let guest = self.guest_path_of(entry, "guest", Rule::E020);
        if entry.get("host").is_none() || entry.get("guest").is_none() {
            self.note(Rule::E003, item.at, "a mount needs host and guest", "write {host: ., guest: /workspace}");
        }
        let mode = self.choice(entry, "mode", MODES, &[]).unwrap_or(MountMode::Rw);
        let exclude = self.exclude(entry);
        let guard = self.flag_of(entry, "guard").unwrap_or(true);
        let host = PathBuf::from(host?);
        let source = self.on_host(&host);
        self.mount_source(&source, &host, entry.get("host")?.at);
        let guest = guest?;
        self.guest_folder(&guest, entry.get("guest")?.at);
        Some(Mount { host, source, guest, mode, exclude, guard })
    }

    fn exclude(&mut self, entry: &Fields<'_>) -> Vec<String> {
        let paths = self.texts_of(entry, "exclude", "[node_modules]").unwrap_or_default();
        for path in paths.iter().filter(|path| !paths::is_below(path)) {
            let at = entry.get("exclude").map_or(entry.at, |node| node.at);
            let message = format!("{}: '{}' is no path below the mount", entry.path_of("exclude"), short(path));
            self.note(Rule::E003, at, message, "write it from the mount's root, without '..'");
        }
        paths
    }

    /// What is mounted is a folder; a path in the project stays in it, whatever links say.
    fn mount_source(&mut self, source: &Path, written: &Path, at: Place) {
        let shown = short(&written.to_string_lossy());
        if !source.is_dir() {
            let why = if source.exists() { "not a folder" } else { "no such folder" };
            self.note(Rule::E020, at, format!("mount source: {why}: {shown}"), "mount a folder that is there");
            return;
        }
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let (Some(project), Some(target)) = (real(self.folder), real(source)) else {
            self.note(Rule::E020, at, format!("mount source cannot be looked at: {shown}"), "give yourself the right");
            return;
        };
        if source.starts_with(self.folder) && !target.starts_with(project) {
            let message = format!("a symbolic link in {shown} leaves the project");
            self.note(Rule::E022, at, message, "mount what the link points to by its own path");
        }
    }

    fn guest_folder(&mut self, guest: &str, at: Place) {
        let below = |folder: &&str| Path::new(guest).starts_with(folder);
        if FULL.contains(&guest) || SYSTEM.iter().any(below) {
            let message = format!("{guest} belongs to the guest's system");
            self.note(Rule::E020, at, message, "mount it below /workspace, /home, /mnt or /srv");
        }
    }

    fn fits(&mut self, mount: &Mount, isolation: Isolation, at: Place) {
        match (isolation, mount.mode) {
            (Isolation::Strict, MountMode::Rw | MountMode::Ro) => {
                let hint = "use `mode: copy`, or `isolation: standard`";
                self.note(Rule::E003, at, "isolation: strict has no mounts of the host", hint);
            }
            (Isolation::Strict, MountMode::Copy)
            | (Isolation::Standard, MountMode::Rw | MountMode::Ro | MountMode::Copy) => {}
        }
    }

    /// A path of the guest that is the value of a key.
    pub(super) fn guest_path_of(&mut self, fields: &Fields<'_>, key: &str, rule: Rule) -> Option<String> {
        let node = fields.get(key)?;
        let what = fields.path_of(key);
        let text = self.text(node, &what)?;
        let path = paths::in_guest(&text);
        if path.is_none() {
            let message = format!("{what}: not a path of the guest: '{}'", short(&text));
            self.note(rule, node.at, message, "write it from '/', without '..'");
        }
        path
    }
}
