//! The user that a template is made with. Parsed at the door: what is here can stand in a shell's line.

use serde::{Deserialize, Serialize};

/// Below are the system's own, above are ids that a build without root cannot give.
const IDS: std::ops::RangeInclusive<u32> = 500..=60_000;

/// A user beside root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Asked")]
pub struct GuestUser {
    name: String,
    uid: u32,
    gid: u32,
    shell: String,
    sudo: bool,
}

/// Why nobody can be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUser {
    /// Not a user's name.
    #[error("not a user's name: '{0}' (lower-case letters, digits, '_' and '-', at most 32; not root)")]
    Name(String),
    /// Not an id for a person.
    #[error("user or group id out of range: {0} (500 to 60000)")]
    Id(u32),
    /// Not a shell.
    #[error("not a shell: '{0}' (an absolute path)")]
    Shell(String),
}

/// As it is written; what is left out is as usual.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    uid: u32,
    gid: Option<u32>,
    shell: Option<String>,
    #[serde(default)]
    sudo: bool,
}

/// Whether a user may become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sudo {
    /// Without a password.
    Free,
    /// Never.
    Refused,
}

impl GuestUser {
    /// A user with a group of its own and the usual shell.
    ///
    /// # Errors
    /// When the name or the id is not one for a person.
    pub fn new(name: &str, uid: u32, sudo: Sudo) -> Result<Self, BadUser> {
        Self::try_from(Asked { name: name.to_owned(), uid, gid: None, shell: None, sudo: sudo == Sudo::Free })
    }

    /// The same, with this shell.
    ///
    /// # Errors
    /// When it is none.
    pub fn with_shell(self, shell: &str) -> Result<Self, BadUser> {
        let Self { name, uid, gid, sudo, .. } = self;
        Self::try_from(Asked { name, uid, gid: Some(gid), shell: Some(shell.to_owned()), sudo })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The id of its own group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The shell.
    #[must_use]
    pub fn shell(&self) -> &str {
        &self.shell
    }

    /// Whether it may become root.
    #[must_use]
    pub fn sudo(&self) -> Sudo {
        if self.sudo { Sudo::Free } else { Sudo::Refused }
    }

    pub(super) fn canonical(&self) -> String {
        let Self { name, uid, gid, shell, sudo } = self;
        format!("{name}:{uid}:{gid}:{shell}:{}", if *sudo { "sudo" } else { "" })
    }
}

impl TryFrom<Asked> for GuestUser {
    type Error = BadUser;
    fn try_from(asked: Asked) -> Result<Self, BadUser> {
        let Asked { name, uid, gid, shell, sudo } = asked;
        let gid = gid.unwrap_or(uid);
        let shell = shell.unwrap_or_else(|| "/bin/bash".to_owned());
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let goes_on = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
        if !begins || !goes_on || name.len() > 32 || name == "root" {
            return Err(BadUser::Name(name));
        }
        if let Some(id) = [uid, gid].into_iter().find(|id| !IDS.contains(id)) {
            return Err(BadUser::Id(id));
        }
        let plain = shell.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        if !shell.starts_with('/') || !plain || shell.len() > 128 {
            return Err(BadUser::Shell(shell));
        }
        Ok(Self { name, uid, gid, shell, sudo })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GuestUser, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_user_is_usual_where_nothing_is_said() {
        let user = read(r#"{"name":"ann","uid":1001}"#).unwrap();
        assert_eq!((user.gid(), user.shell(), user.sudo()), (1001, "/bin/bash", Sudo::Refused));
        assert_eq!(user, GuestUser::new("ann", 1001, Sudo::Refused).unwrap());
    }

    #[test]
    fn who_cannot_be_is_refused() {
        for bad in [
            r#"{"name":"root","uid":1001}"#,
            r#"{"name":"-x","uid":1001}"#,
            r#"{"name":"a b","uid":1001}"#,
            r#"{"name":"ann","uid":0}"#,
            r#"{"name":"ann","uid":1001,"gid":0}"#,
            r#"{"name":"ann","uid":70000}"#,
            r#"{"name":"ann","uid":1001,"shell":"bash"}"#,
            r#"{"name":"ann","uid":1001,"shell":"/bin/sh -c x"}"#,
            r#"{"name":"ann","uid":1001,"home":"/x"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
