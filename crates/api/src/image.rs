//! Memory images: what is here, and what to make ahead of need.

use jiff::Timestamp;
use machine_core::TemplateName;
use machine_core::promise::memory_image::{Fitness, MemoryImage};
use serde::{Deserialize, Serialize};

/// What is known of a memory image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Its name: `sha256:` and the digest of all that it depends on.
    pub id: String,
    /// A name that its template has here now. Left out if it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The template's content.
    pub template_digest: String,
    /// Virtual processors of its machines.
    pub vcpus: u32,
    /// Guest memory of its machines, in MiB.
    pub memory_mb: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Bytes on the host's disk.
    pub size_bytes: u64,
    /// What runs it, for people.
    pub hypervisor: String,
    /// How many machines stand on it.
    pub machines: u64,
    /// Whether machines can be made of it here and now.
    pub fitness: FitnessInfo,
    /// Whether this call made it.
    pub built_now: bool,
}

/// Whether machines can be made of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum FitnessInfo {
    /// They can.
    Fit,
    /// It was made under other circumstances.
    Stale {
        /// What is different now.
        differs: Vec<String>,
    },
    /// It is not what was sealed.
    Damaged {
        /// Which part, and how.
        what: String,
    },
}

/// A memory image to make with a template's build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildImage {
    /// Virtual processors of its machines.
    pub vcpus: u32,
    /// Guest memory of its machines, in MiB.
    pub memory_mb: u64,
    /// A line for the guest's shell, run as root before the image is kept. An image that is there is made
    /// again: nobody can tell what it was warmed up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<String>,
    /// Make it again although it is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
}

/// Asks to remove every image that no machine can be made of any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneImages {}

impl ImageInfo {
    /// The wire's view of an image, whose template has this name now.
    #[must_use]
    pub fn of(image: MemoryImage, template: Option<&TemplateName>) -> Self {
        Self {
            id: image.id.to_string(),
            template: template.map(ToString::to_string),
            template_digest: image.shape.template.to_string(),
            vcpus: image.shape.cpus,
            memory_mb: image.shape.memory.0,
            created_at: image.created_at,
            size_bytes: image.size_bytes,
            hypervisor: image.hypervisor,
            machines: image.machines,
            fitness: image.fitness.into(),
            built_now: image.built_now,
        }
    }
}

impl From<Fitness> for FitnessInfo {
    fn from(fitness: Fitness) -> Self {
        match fitness {
            Fitness::Fit => Self::Fit,
            Fitness::Stale(differs) => Self::Stale { differs },
            Fitness::Damaged(what) => Self::Damaged { what },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fitness_says_what_it_is_by_its_word() {
        for (fitness, text) in [
            (Fitness::Fit, json!({"is": "fit"})),
            (Fitness::Stale(vec!["kernel".to_owned()]), json!({"is": "stale", "differs": ["kernel"]})),
            (Fitness::Damaged("ram".to_owned()), json!({"is": "damaged", "what": "ram"})),
        ] {
            let info = FitnessInfo::from(fitness);
            assert_eq!(serde_json::to_value(&info).unwrap(), text);
            assert_eq!(serde_json::from_value::<FitnessInfo>(text).unwrap(), info);
        }
    }
}
