//! What a machine is: name, size, root disk, user, folder, timeouts, labels.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use machine_core::{MachineName, MiB};

use crate::identity::default_name;
use crate::model::{Resources, Root, Timeouts, User};
use crate::rule::Rule;
use crate::tree::Content;

use super::scalars::short;
use super::{Fields, Walk};

pub(crate) const RESOURCES: &[&str] = &["cpus", "memory", "disk"];
pub(crate) const USER: &[&str] = &["name", "uid", "shell", "sudo"];
pub(crate) const TIMEOUTS: &[&str] = &["boot", "stop"];

const LEAST_MEMORY: MiB = MiB(64);
const USUAL_MEMORY: MiB = MiB(4096);
const LITTLE_MEMORY: MiB = MiB(128);
const LEAST_DISK: MiB = MiB(1024);
const USUAL_DISK: MiB = MiB(20 * 1024);
const MOST_DISK: MiB = MiB(16 << 20);
/// The user's number where the host's would be root's.
const FIRST_USER: u32 = 1000;

impl Walk<'_> {
    pub(super) fn name(&mut self, fields: &Fields<'_>) -> MachineName {
        let usual = default_name(self.folder);
        let Some(node) = fields.get("name") else { return usual };
        let Some(text) = self.text(node, "name") else { return usual };
        match text.parse() {
            Ok(name) => name,
            Err(_) => {
                let hint = "lower-case letters, digits and '-', beginning with a letter, at most 39";
                self.note(Rule::E004, node.at, format!("not a machine's name: '{}'", short(&text)), hint);
                usual
            }
        }
    }

    pub(super) fn resources(&mut self, fields: &Fields<'_>) -> Resources {
        let usual_memory = USUAL_MEMORY.min(MiB(self.host.memory.0 / 2)).max(LEAST_MEMORY);
        let mut resources = Resources { cpus: 2.min(self.host.cpus.max(1)), memory: usual_memory, disk: USUAL_DISK };
        let Some(section) = self.section(fields, "resources", RESOURCES) else { return resources };
        if let Some(node) = section.get("cpus")
            && let Some(cpus) = self.number(node, "resources.cpus", Rule::E007, 1, u64::from(self.host.cpus))
        {
            resources.cpus = u32::try_from(cpus).unwrap_or(resources.cpus);
        }
        if let Some(memory) = self.size_of(&section, "memory", LEAST_MEMORY, self.host.memory) {
            resources.memory = memory;
            if let (true, Some(node)) = (memory < LITTLE_MEMORY, section.get("memory")) {
                let message = format!("{memory} is little memory: a guest may fail to boot");
                self.note(Rule::W001, node.at, message, format!("give it {LITTLE_MEMORY} or more"));
            }
        }
        if let Some(disk) = self.size_of(&section, "disk", LEAST_DISK, MOST_DISK) {
            resources.disk = disk;
        }
        resources
    }

    pub(super) fn root(&mut self, fields: &Fields<'_>) -> Root {
        let words = [("ephemeral", Root::Ephemeral), ("persistent", Root::Persistent), ("readonly", Root::Readonly)];
        self.choice(fields, "root", &words, &[]).unwrap_or(Root::Ephemeral)
    }

    pub(super) fn user(&mut self, fields: &Fields<'_>) -> User {
        let owner = std::fs::metadata(self.folder).map_or(0, |folder| folder.uid());
        let host = if owner == 0 { FIRST_USER } else { owner };
        let mut user = User { name: "dev".to_owned(), uid: host, shell: "/bin/bash".to_owned(), sudo: true };
        let Some(section) = self.section(fields, "user", USER) else { return user };
        if let (Some(name), Some(node)) = (self.text_of(&section, "name"), section.get("name")) {
            if is_user(&name) {
                user.name = name;
            } else {
                let hint = "lower-case letters, digits, '_' and '-', at most 32, and not root: use `as: root` or sudo";
                self.note(Rule::E003, node.at, format!("not a user's name: '{}'", short(&name)), hint);
            }
        }
        if let Some(node) = section.get("uid") {
            let is_host = matches!(&node.content, Content::Plain(text) | Content::Quoted(text) if text == "host");
            let uid = if is_host { None } else { self.number(node, "user.uid", Rule::E007, 1, 65_533) };
            user.uid = uid.and_then(|uid| u32::try_from(uid).ok()).unwrap_or(host);
        }
        if let Some(shell) = self.guest_path_of(&section, "shell", Rule::E003) {
            user.shell = shell;
        }
        user.sudo = self.flag_of(&section, "sudo").unwrap_or(user.sudo);
        user
    }

    pub(super) fn workdir(&mut self, fields: &Fields<'_>) -> String {
        self.guest_path_of(fields, "workdir", Rule::E003).unwrap_or_else(|| "/workspace".to_owned())
    }

    pub(super) fn timeouts(&mut self, fields: &Fields<'_>) -> Timeouts {
        let mut timeouts = Timeouts { boot: Duration::from_secs(150), stop: Duration::from_secs(30) };
        let Some(section) = self.section(fields, "timeouts", TIMEOUTS) else { return timeouts };
        if let Some(boot) = self.duration_of(&section, "boot", Duration::from_secs(1)) {
            timeouts.boot = boot;
        }
        if let Some(stop) = self.duration_of(&section, "stop", Duration::ZERO) {
            timeouts.stop = stop;
        }
        let idle = self.duration_of(&section, "idle", Duration::ZERO).unwrap_or_default();
        let lifetime = self.duration_of(&section, "max_lifetime", Duration::ZERO).unwrap_or_default();
        if let (Some(node), true) = (section.get("idle"), !lifetime.is_zero() && idle > lifetime) {
            let hint = "make idle shorter than max_lifetime";
            self.note(Rule::E080, node.at, "timeouts.idle is longer than timeouts.max_lifetime", hint);
        }
        timeouts
    }

    pub(super) fn labels(&mut self, fields: &Fields<'_>) -> BTreeMap<String, String> {
        self.texts_by_key(fields, "labels", "team: web")
            .into_iter()
            .map(|(entry, text)| (entry.key.clone(), text))
            .collect()
    }
}

fn is_user(name: &str) -> bool {
    let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_');
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    begins && name.len() <= 32 && name.bytes().all(letters) && name != "root"
}
