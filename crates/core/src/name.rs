//! Names that people choose: parsed at the door, true afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::worded::{is_lower, is_word, worded};

/// A machine's name, `[a-z][a-z0-9-]{0,38}` (rule E004 of the Machinefile): a host name, too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(String);

/// A template's reference: a name, or `name:tag`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateName(String);

/// Whose machine it is. Names are unique per owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner(String);

/// A text that is not a name of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Not a machine's name.
    #[error("not a machine's name: '{0}' (lower-case letters, digits and '-', beginning with a letter, at most 39)")]
    Machine(String),
    /// Not a template's name.
    #[error(
        "not a template's name: '{0}' (lower-case letters, digits, '.', '_', '-' and '/', with an optional ':tag')"
    )]
    Template(String),
}

impl Owner {
    /// The owner that a user of this computer is, by user id.
    #[must_use]
    pub fn local_user(uid: u32) -> Self {
        Self(format!("uid:{uid}"))
    }

    /// The owner as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Owner {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for MachineName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let begins = text.starts_with(|letter: char| letter.is_ascii_lowercase());
        if begins && is_word(text, is_lower, "-") && text.len() <= 39 && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::Machine(text.to_owned()))
        }
    }
}

impl FromStr for TemplateName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let (path, tag) = text.split_once(':').unwrap_or((text, "latest"));
        let letters = |part: &str| is_word(part, is_lower, "._-");
        if text.len() <= 128 && path.split('/').all(letters) && letters(tag) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::Template(text.to_owned()))
        }
    }
}

worded!(MachineName, BadName);
worded!(TemplateName, BadName);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_name_is_a_host_name() {
        for good in ["a", "blog", "web-2", "a23456789012345678901234567890123456789"] {
            assert!(good.parse::<MachineName>().is_ok(), "{good}");
        }
        for bad in ["", "2web", "Web", "web_2", "-a", "a-", "a/b", "a2345678901234567890123456789012345678901"] {
            assert!(bad.parse::<MachineName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_name_never_leaves_its_folder() {
        for good in ["base", "base:1.2", "nullspace/base:latest"] {
            assert!(good.parse::<TemplateName>().is_ok(), "{good}");
        }
        for bad in ["", "../base", "base:", "/base", "a//b", "base:../x", "Base"] {
            assert!(bad.parse::<TemplateName>().is_err(), "{bad}");
        }
    }
}
