//! The model as it is shown: so that it is a Machinefile again, and means the same.

use std::fmt;
use std::time::Duration;

use machine_core::network::Forward;
use machine_core::policy::egress::{EgressPolicy, Verdict};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{EnvFile, ProvisionAction, SecretSource};

pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}s", duration.as_secs()))
}

pub(super) fn texts<S: Serializer>(forwards: &[Forward], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(forwards.iter().map(Forward::to_string))
}

pub(super) fn egress<S: Serializer>(egress: &EgressPolicy, serializer: S) -> Result<S::Ok, S::Error> {
    let policy = match egress.otherwise {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    };
    let mut map = serializer.serialize_map(Some(3))?;
    map.serialize_entry("policy", policy)?;
    map.serialize_entry("allow", &egress.allow)?;
    map.serialize_entry("deny", &egress.deny)?;
    map.end()
}

impl fmt::Display for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path.display(), if self.optional { "?" } else { "" })
    }
}

impl Serialize for EnvFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Command(command) => write!(f, "cmd:{command}"),
        }
    }
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ProvisionAction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Run(command) => map.serialize_entry("run", command)?,
            Self::Script(path) => map.serialize_entry("script", path)?,
            Self::File { path, content, mode } => {
                map.serialize_entry("file", path)?;
                map.serialize_entry("content", content)?;
                map.serialize_entry("mode", &format!("{mode:04o}"))?;
            }
        }
        map.end()
    }
}
