//! What an image depends on. Its digest names the image: whatever differs has another image.

use machine_core::promise::memory_image::Shape;
use machine_core::{Digest, MiB};
use machine_hypervisor::ingredients::Ingredients;
use serde::{Deserialize, Serialize};

use super::digest;

/// Everything on which a kept memory depends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// What machines it serves. The template's digest names its kernel and its root disk, too.
    pub(crate) shape: Shape,
    /// The root disk as the guest sees it: one of few sizes, see `Recipe`.
    pub(crate) disk: MiB,
    /// What certificate authorities of this host its guest trusts; none, if it trusts its own only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authorities: Option<Digest>,
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
        let serves = |key: &Self| (key.shape.clone(), key.disk, key.authorities.is_some());
        serves(self) == serves(other)
    }

    /// What differs, for people: the name of each fact, and both values where they are short.
    pub(crate) fn differences(&self, now: &Self) -> Vec<String> {
        let both = self.facts().into_iter().zip(now.facts());
        both.filter_map(|((name, kept), (_, now))| difference(name, &kept, &now)).collect()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let Self { shape, disk, authorities, initramfs, hypervisor } = self;
        // Processors and memory are among the hypervisor's facts.
        let ours = [
            ("template", shape.template.to_string()),
            ("disk", disk.to_string()),
            ("certificate authorities", authorities.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("initramfs", initramfs.to_string()),
        ];
        ours.into_iter().chain(hypervisor.facts()).collect()
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
