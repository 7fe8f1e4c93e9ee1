//! What a template is made of, as people ask for it: packages, agents, a user. Parsed at the door: what is in a
//! [`Recipe`] can be handed to a package client as it stands. How it is built is others' business.

mod ingredient;
mod user;

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use ingredient::{AptPackage, BadIngredient, NpmSpec, PipSpec};
pub use user::{BadUser, GuestUser, Sudo};

/// Everything a template is made of. Equal recipes are one template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The distribution; left out, it is the host's own release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Debian packages.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub apt: BTreeSet<AptPackage>,
    /// Packages of the npm registry, installed for everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub npm: BTreeSet<NpmSpec>,
    /// Python packages, installed for everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pip: BTreeSet<PipSpec>,
    /// What runs containers.
    #[serde(default, skip_serializing_if = "Containers::are_none")]
    pub containers: Containers,
    /// Coding agents.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub agents: BTreeSet<CodingAgent>,
    /// A user beside root, in place of the usual one if it has that one's name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<GuestUser>,
}

/// A release of Debian, written `debian:12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Base {
    /// The release's number.
    pub release: u8,
}

/// What runs containers in the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Containers {
    /// Nothing.
    #[default]
    None,
    /// Docker's daemon, running when a machine is there.
    Docker,
}

/// A coding agent that is put into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodingAgent {
    /// `claude`.
    ClaudeCode,
    /// `codex`.
    Codex,
}

/// A text that is no base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a base: '{0}' (debian:12, the number being the release's)")]
pub struct NotABase(String);

/// A text that is no coding agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a coding agent: '{0}' (claude-code or codex)")]
pub struct NotAnAgent(String);

impl Recipe {
    /// The recipe as text: the same for recipes that ask for the same, empty for the plain base. The base's
    /// release is no part of it: whoever builds knows which one it is.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        let mut line = |word: &str, items: Vec<String>| {
            if !items.is_empty() {
                // A range may hold spaces, no item holds a tab.
                let _ = writeln!(text, "{word}\t{}", items.join("\t"));
            }
        };
        line("apt", self.apt.iter().map(ToString::to_string).collect());
        line("npm", self.npm.iter().map(ToString::to_string).collect());
        line("pip", self.pip.iter().map(ToString::to_string).collect());
        match self.containers {
            Containers::None => {}
            Containers::Docker => line("containers", vec!["docker".to_owned()]),
        }
        line("agents", self.agents.iter().map(|agent| agent.word().to_owned()).collect());
        line("user", self.user.iter().map(GuestUser::canonical).collect());
        text
    }

    /// Whether it asks for nothing beyond the base.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.canonical().is_empty()
    }
}

impl Containers {
    fn are_none(&self) -> bool {
        *self == Self::None
    }
}

impl CodingAgent {
    /// Its name on a command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
        }
    }

    /// Its package in the npm registry.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::ClaudeCode => "@anthropic-ai/claude-code",
            Self::Codex => "@openai/codex",
        }
    }
}

impl FromStr for CodingAgent {
    type Err = NotAnAgent;
    fn from_str(text: &str) -> Result<Self, NotAnAgent> {
        match text {
            "claude-code" | "claude_code" => Ok(Self::ClaudeCode),
            "codex" => Ok(Self::Codex),
            other => Err(NotAnAgent(other.to_owned())),
        }
    }
}

impl FromStr for Base {
    type Err = NotABase;
    fn from_str(text: &str) -> Result<Self, NotABase> {
        let number = text.strip_prefix("debian:").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let release = number.and_then(|number| number.parse().ok()).ok_or_else(|| NotABase(text.to_owned()))?;
        Ok(Self { release })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "debian:{}", self.release)
    }
}

impl TryFrom<String> for Base {
    type Error = NotABase;
    fn try_from(text: String) -> Result<Self, NotABase> {
        text.parse()
    }
}

impl From<Base> for String {
    fn from(base: Base) -> Self {
        base.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Recipe, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn the_order_of_ingredients_and_the_bases_number_do_not_matter() {
        let one = read(r#"{"apt":["git","curl"],"agents":["codex","claude_code"],"base":"debian:12"}"#).unwrap();
        let other = read(r#"{"agents":["claude_code","codex"],"apt":["curl","git","git"]}"#).unwrap();
        assert_eq!(one.canonical(), other.canonical());
        assert_eq!(one.canonical(), "apt\tcurl\tgit\nagents\tclaude-code\tcodex\n");
        assert!(read("{}").unwrap().is_plain() && read(r#"{"base":"debian:13"}"#).unwrap().is_plain());
    }

    #[test]
    fn every_ingredient_changes_the_recipe() {
        let all = [
            r#"{"apt":["git"]}"#,
            r#"{"npm":["git"]}"#,
            r#"{"pip":["git"]}"#,
            r#"{"containers":"docker"}"#,
            r#"{"agents":["codex"]}"#,
            r#"{"user":{"name":"ann","uid":1001}}"#,
            r#"{"user":{"name":"ann","uid":1001,"sudo":true}}"#,
        ];
        let texts: BTreeSet<String> = all.iter().map(|text| read(text).unwrap().canonical()).collect();
        assert_eq!(texts.len(), all.len());
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for bad in [r#"{"gem":["x"]}"#, r#"{"base":"fedora:40"}"#, r#"{"base":"debian:"}"#, r#"{"agents":["emacs"]}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_recipe_reads_back() {
        let text = r#"{"base":"debian:12","apt":["git"],"npm":["@a/b@^1.2"],"pip":["x[y]==1"],"containers":"docker","agents":["claude_code"],"user":{"name":"ann","uid":1001,"gid":1001,"shell":"/bin/bash","sudo":false}}"#;
        assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
    }
}
