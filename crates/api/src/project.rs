//! What a machine does for a project: who listens in it, its secrets, its user.

use std::collections::BTreeMap;
use std::fmt;

use machine_core::promise::project::{GuestOwner, GuestUser, ListenAddress, Listener, ListenerNews, Secrets, Sudo};
use serde::{Deserialize, Serialize};

use crate::word::TransportWord;

/// Who listens in a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineListeners {
    /// The machine's id.
    pub machine_id: String,
    /// Each of them.
    pub listeners: Vec<ListenerInfo>,
}

/// A line of what is followed: at first all that there are are opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerLine {
    /// New since the last line.
    pub opened: Vec<ListenerInfo>,
    /// Gone since then.
    pub closed: Vec<ListenerInfo>,
}

/// A port that somebody listens at. Its port, transport and address tell it from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerInfo {
    /// The port.
    pub port: u16,
    /// How it is spoken to.
    pub transport: TransportWord,
    /// Where.
    pub address: ListenAddressWord,
    /// The guest's user whose it is.
    pub uid: u32,
    /// The program's name, if the guest knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// At which of a guest's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenAddressWord {
    /// At all.
    Any,
    /// At its own, which nobody else reaches.
    Loopback,
    /// At one of the others.
    Other,
}

impl From<Listener> for ListenerInfo {
    fn from(listener: Listener) -> Self {
        Self {
            port: listener.port,
            transport: listener.transport.into(),
            address: match listener.address {
                ListenAddress::Any => ListenAddressWord::Any,
                ListenAddress::Loopback => ListenAddressWord::Loopback,
                ListenAddress::Other => ListenAddressWord::Other,
            },
            uid: listener.uid,
            program: listener.program,
        }
    }
}

impl From<ListenerNews> for ListenerLine {
    fn from(news: ListenerNews) -> Self {
        let all = |listeners: Vec<Listener>| listeners.into_iter().map(ListenerInfo::from).collect();
        Self { opened: all(news.opened), closed: all(news.closed) }
    }
}

/// The secrets that a machine shall hold, and no others. Never on record, and in no log.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutSecrets {
    /// Each of them by its name.
    pub secrets: BTreeMap<String, String>,
    /// The guest's user who may read them, beside root.
    #[serde(default)]
    pub uid: u32,
}

impl fmt::Debug for PutSecrets {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.secrets.keys().collect();
        f.debug_struct("PutSecrets").field("names", &names).field("uid", &self.uid).finish_non_exhaustive()
    }
}

impl From<PutSecrets> for Secrets {
    fn from(put: PutSecrets) -> Self {
        let entries = put.secrets.into_iter().map(|(name, value)| (name, value.into_bytes()));
        Self { entries: entries.collect(), uid: put.uid }
    }
}

/// A user who shall be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsureUser {
    /// The name.
    pub name: String,
    /// The number, not 0. Who has it under another name is renamed.
    pub uid: u32,
    /// The number of the user's own group; that of the user if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The shell; the guest's best if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Whether the user may become root without a password.
    #[serde(default)]
    pub sudo: bool,
}

impl From<EnsureUser> for GuestUser {
    fn from(user: EnsureUser) -> Self {
        let owner = GuestOwner { uid: user.uid, gid: user.gid.unwrap_or(user.uid) };
        let sudo = if user.sudo { Sudo::Allowed } else { Sudo::Refused };
        Self { name: user.name, owner, shell: user.shell, sudo }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let put = PutSecrets { secrets: [("KEY".to_owned(), "hidden".to_owned())].into(), uid: 7 };
        let shown = format!("{put:?} {:?}", Secrets::from(put.clone()));
        assert!(shown.contains("KEY") && !shown.contains("hidden") && !shown.contains("104"), "{shown}");
    }
}
