//! All keys that this build honours, by section, with the definition of the schema that has them.

use super::{KEYS, base, environment, mounts, network, ports, provision, services, settings, software};

/// A section's path, its definition's name, its keys.
pub(crate) const ALL: &[(&str, &str, &[&str])] = &[
    ("", "", KEYS),
    ("base", "BaseSource", base::KEYS),
    ("resources", "Resources", settings::RESOURCES),
    ("packages", "PackagesByTool", software::PACKAGES),
    ("secrets", "Secret", environment::SECRET),
    ("user", "User", settings::USER),
    ("mounts", "Mount", mounts::KEYS),
    ("ports", "PortParts", ports::KEYS),
    ("network", "Network", network::KEYS),
    ("network.egress", "Egress", network::EGRESS),
    ("provision", "Step", provision::KEYS),
    ("services", "Service", services::SERVICE),
    ("ready", "Ready", services::READY),
    ("hooks", "Hooks", services::HOOKS),
    ("timeouts", "Timeouts", settings::TIMEOUTS),
];
