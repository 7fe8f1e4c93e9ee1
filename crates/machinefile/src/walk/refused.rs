//! What the full Machinefile has and this build does not do yet: recognised, and refused by name unless it says
//! what is the case anyway. So it is never taken for unknown, and never passed over.

use crate::rule::Rule;
use crate::tree::{Content, Entry, Node};

use super::Walk;

/// A value that asks for nothing.
pub(crate) enum Nothing {
    /// There is none but null.
    Null,
    /// An empty list or map.
    Empty,
    /// `0`, `off`, `false`.
    Off,
    /// One of the first words. The others are those that are known; nothing else is.
    Word(&'static [&'static str], &'static [&'static str]),
    /// A map of which nothing happens.
    Snapshots,
}

/// A key that is refused.
pub(crate) struct Later {
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) nothing: Nothing,
    pub(crate) hint: &'static str,
}

const fn later(section: &'static str, key: &'static str, nothing: Nothing, hint: &'static str) -> Later {
    Later { section, key, nothing, hint }
}

const HYPERVISORS: &[&str] = &["cloud-hypervisor", "firecracker", "crosvm", "kvmtool", "stratovirt", "alioth", "vfkit"];
const TAKE_OUT: &str = "take it out";
const OTHER_BASE: &str = "use `base: debian:12` or `base: {template: NAME}`";
const OTHER_ACTION: &str = "use run, script or file";
const STAYS: &str = "take it out, or say off: the machine stays until `machine stop`";

pub(crate) const LATER: &[Later] = &[
    later("", "volumes", Nothing::Empty, "use `root: persistent` to keep data"),
    later("", "gpu", Nothing::Null, TAKE_OUT),
    later("", "devices", Nothing::Empty, TAKE_OUT),
    later("", "provider", Nothing::Word(&["local"], &[]), "use `provider: local`"),
    later("", "hypervisor", Nothing::Word(&["auto", "qemu"], HYPERVISORS), "use `hypervisor: auto` or `qemu`"),
    later("", "hypervisor_options", Nothing::Empty, TAKE_OUT),
    later("", "snapshots", Nothing::Snapshots, TAKE_OUT),
    later("", "desktop", Nothing::Null, TAKE_OUT),
    later("", "params", Nothing::Empty, "use `env`"),
    later("packages", "nix", Nothing::Empty, "use apt, npm or pip"),
    later("packages", "apk", Nothing::Empty, "use apt, npm or pip"),
    later("base", "oci", Nothing::Null, OTHER_BASE),
    later("base", "dockerfile", Nothing::Null, OTHER_BASE),
    later("base", "image", Nothing::Null, OTHER_BASE),
    later("base", "digest", Nothing::Null, OTHER_BASE),
    later("base", "flake", Nothing::Null, OTHER_BASE),
    later("base", "snapshot", Nothing::Null, OTHER_BASE),
    later("secrets", "hosts", Nothing::Null, "take it out: the secret enters the guest, or leave the secret out"),
    later("secrets", "as", Nothing::Null, "take it out: the secret enters the guest, or leave the secret out"),
    later("provision", "ansible", Nothing::Null, OTHER_ACTION),
    later("provision", "cloud_init", Nothing::Null, OTHER_ACTION),
    later("provision", "flake", Nothing::Null, OTHER_ACTION),
    later("network", "ip", Nothing::Word(&["dhcp"], &[]), "use `ip: dhcp`"),
    later("network", "dns", Nothing::Word(&["host"], &[]), "use `dns: host`"),
    later("timeouts", "idle", Nothing::Off, STAYS),
    later("timeouts", "on_idle", Nothing::Off, STAYS),
    later("timeouts", "max_lifetime", Nothing::Off, STAYS),
    later("timeouts", "on_timeout", Nothing::Off, STAYS),
    later("timeouts", "auto_resume", Nothing::Off, STAYS),
];

/// The refused keys of a map, by its path without the numbers of lists.
fn of(path: &str) -> impl Iterator<Item = &'static Later> {
    let section = path.split('[').next().unwrap_or_default().to_owned();
    LATER.iter().filter(move |later| later.section == section)
}

/// The names of the refused keys of a map.
pub(crate) fn keys_of(path: &str) -> Vec<&'static str> {
    of(path).map(|later| later.key).collect()
}

impl Walk<'_> {
    /// Refuses an entry by name, if it is one of these and asks for something.
    pub(crate) fn refuse_later(&mut self, path: &str, entry: &Entry) {
        let Some(later) = of(path).find(|later| later.key == entry.key) else { return };
        if asks_for_nothing(&entry.value, &later.nothing) {
            return;
        }
        let key = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        match (&later.nothing, &entry.value.content) {
            (Nothing::Word(usual, known), Content::Plain(text) | Content::Quoted(text)) => {
                let text = super::scalars::short(text);
                if known.is_empty() || known.contains(&text.as_str()) {
                    self.not_honoured(entry.value.at, &format!("{key}: {text}"), later.hint);
                } else {
                    let allowed: Vec<&str> = usual.iter().chain(known.iter()).copied().collect();
                    let hint = format!("write one of {}", allowed.join(", "));
                    self.note(Rule::E003, entry.value.at, format!("{key} is '{text}'"), hint);
                }
            }
            (Nothing::Null | Nothing::Empty | Nothing::Off | Nothing::Word(..) | Nothing::Snapshots, _) => {
                self.not_honoured(entry.key_at, &key, later.hint);
            }
        }
    }
}

fn asks_for_nothing(node: &Node, nothing: &Nothing) -> bool {
    match (nothing, &node.content) {
        (_, Content::Null) => true,
        (Nothing::Empty | Nothing::Snapshots, Content::List(items)) => items.is_empty(),
        (Nothing::Empty, Content::Map(entries)) => entries.is_empty(),
        (Nothing::Off, content) => is_off(content),
        (Nothing::Word(usual, _), Content::Plain(text) | Content::Quoted(text)) => usual.contains(&text.as_str()),
        (Nothing::Snapshots, Content::Map(entries)) => entries.iter().all(|entry| match entry.key.as_str() {
            "keep" => true,
            "before_provision" => is_off(&entry.value.content),
            _ => entry.value.content == Content::Null,
        }),
        (Nothing::Null | Nothing::Empty | Nothing::Word(..) | Nothing::Snapshots, _) => false,
    }
}

fn is_off(content: &Content) -> bool {
    match content {
        Content::Null => true,
        Content::Plain(text) => matches!(text.as_str(), "0" | "off" | "false"),
        Content::Quoted(text) => matches!(text.as_str(), "0" | "off"),
        Content::List(_) | Content::Map(_) => false,
    }
}
