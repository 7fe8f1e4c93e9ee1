//! Who a project is: its id, kept in its folder, through moves and copies.

use machine_machinefile::identity::{ENTROPY, Identity, IdentityError, identify};
use machine_sdk::api::Code;

use crate::cli::exit::Failure;
use crate::cli::voice::Voice;

/// The id of the project in a folder; written down if it is new.
pub(super) fn of(found: &machine_machinefile::Project, voice: &Voice) -> Result<String, Failure> {
    let mut entropy = [0; ENTROPY];
    getrandom::fill(&mut entropy)
        .map_err(|error| Failure::new(Code::InternalError, format!("cannot choose an id for the project: {error}")))?;
    let identity = identify(&found.folder, &entropy).map_err(|error| failure(&error))?;
    match &identity {
        Identity::New(_) | Identity::Same(_) => {}
        Identity::Copied { of, .. } => {
            voice.say(&format!("this folder is a copy of {}: it gets a machine of its own", of.display()));
        }
        Identity::Moved { from, .. } => {
            voice.say(&format!("this project was moved from {}: it keeps its machine", from.display()));
        }
    }
    Ok(identity.id().to_string())
}

fn failure(error: &IdentityError) -> Failure {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    let failure = Failure::new(Code::FileError, format!("{error}{source}"));
    match error {
        IdentityError::Keep { .. } => failure
            .hint("a project's folder must be writable the first time; its machine may see it read-only: `mode: ro`"),
        // These say it themselves.
        IdentityError::Damaged { .. } | IdentityError::NotAFolder { .. } => failure,
    }
}
