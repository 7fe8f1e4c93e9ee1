//! What an image depends on. Its digest names the image: whatever differs has another image.

use machine_core::promise::memory_image::Shape;
use machine_core::{Digest, MiB};
use machine_hypervisor::ingredients::Ingredients;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest;

/// Everything on which a kept memory depends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// What machines it serves. The template's digest names its kernel and its root disk, too.
    pub(crate) shape: Shape,
    /// The root disk as the guest sees it: one of two sizes, see `Recipe`.
    pub(crate) disk: MiB,
    /// The initramfs, with the agent in it.
    pub(crate) initramfs: Digest,
    /// The VMM, the accelerator and the devices.
    pub(crate) hypervisor: Ingredients,
}

impl Key {
    /// The image's name.
    pub(crate) fn id(&self) -> Digest {
        let text = serde_json::to_vec(self).expect("a key's maps have text keys");
        digest::of_bytes(&text)
    }

    /// What runs it, for people.
    pub(crate) fn runs_on(&self) -> String {
        let Ingredients { hypervisor, version, accelerator, .. } = &self.hypervisor;
        format!("{hypervisor} {version} ({accelerator})")
    }

    /// Whether both serve the same machines, if only they could.
    pub(crate) fn is_sibling(&self, other: &Self) -> bool {
        (&self.shape, self.disk) == (&other.shape, other.disk)
    }

    /// What differs, for people: the name of each fact, and both values where they are short.
    pub(crate) fn differences(&self, now: &Self) -> Vec<String> {
        let (kept, now) = (flat(self), flat(now));
        let all = kept.iter().chain(now.iter()).map(|(name, _)| name.clone());
        let mut names: Vec<String> = all.collect();
        names.sort();
        names.dedup();
        names.iter().filter_map(|name| difference(name, value(&kept, name), value(&now, name))).collect()
    }
}

/// Longer values say nothing to people.
const SHORT: usize = 40;

fn difference(name: &str, kept: &str, now: &str) -> Option<String> {
    let short = kept.len() <= SHORT && now.len() <= SHORT;
    match kept == now {
        true => None,
        false if short => Some(format!("{name}: {kept}, now {now}")),
        false => Some(name.to_owned()),
    }
}

fn value<'a>(facts: &'a [(String, String)], name: &str) -> &'a str {
    facts.iter().find(|(known, _)| known == name).map_or("none", |(_, value)| value)
}

/// The facts of a key by name, one level below its groups.
fn flat(key: &Key) -> Vec<(String, String)> {
    let Ok(Value::Object(groups)) = serde_json::to_value(key) else { return Vec::new() };
    let mut facts = Vec::new();
    for (name, group) in groups {
        match group {
            Value::Object(fields) => {
                facts.extend(fields.into_iter().map(|(field, value)| (field.replace('_', " "), text(&value))));
            }
            value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                facts.push((name.replace('_', " "), text(&value)));
            }
        }
    }
    facts
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
