//! Words of the wire that are chosen by a flag.

use machine_sdk::api::word::{NetworkModeWord, VerdictWord};

/// Reads a network's mode.
pub(crate) fn mode(text: &str) -> Result<NetworkModeWord, String> {
    NetworkModeWord::from_word(text).ok_or_else(|| "say user or none".to_owned())
}

/// Reads a policy.
pub(crate) fn verdict(text: &str) -> Result<VerdictWord, String> {
    VerdictWord::from_word(text).ok_or_else(|| "say allow or deny".to_owned())
}
