//! Who lives in the guest, and what only they may read.

use minicbor::{Decode, Encode};
use std::fmt;

/// Make this user be there, with a home. Answered by `Done`; a repeat is success.
///
/// A user who has the number under another name is renamed, and the home with it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnsureUser {
    /// The name.
    #[n(0)]
    pub name: String,
    /// The number, not 0.
    #[n(1)]
    pub uid: u32,
    /// The number of the user's own group, not 0.
    #[n(2)]
    pub gid: u32,
    /// The shell; `/bin/bash` if there is one, else `/bin/sh`, if not said.
    #[n(3)]
    pub shell: Option<String>,
    /// Whether the user may become root without a password.
    #[n(4)]
    #[cbor(default)]
    pub sudo: bool,
}

/// Put these secrets, and no others, into `/run/secrets`, in memory. Answered by `Done`. They are gone when the
/// guest comes to rest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PutSecrets {
    /// Each of them; none removes those that there are.
    #[n(0)]
    #[cbor(default)]
    pub secrets: Vec<Secret>,
    /// Who may read them, beside root.
    #[n(1)]
    #[cbor(default)]
    pub uid: u32,
}

impl PutSecrets {
    /// No guest holds more.
    pub const MOST: usize = 256;
    /// All of them together are no longer, in bytes.
    pub const LONGEST: usize = 512 * 1024;
}

/// One secret.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Secret {
    /// Its file's name: letters, digits, `-`, `_` and `.`, not a dot first.
    #[n(0)]
    pub name: String,
    /// What nobody else shall know.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

impl fmt::Debug for Secret {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}
