//! Trust: what a file asks of this computer beyond its own folder does nothing until a person has agreed to it.

use machine_machinefile::trust::{TrustItem, TrustList};
use machine_machinefile::trust_record::{self, TrustError};
use machine_sdk::api::Code;

use super::{Project, open};
use crate::cli::Desk;
use crate::cli::exit::{CONSENT_REFUSED, Failure};
use crate::cli::word::escape;

/// What the project's file asks for, a line each.
pub(crate) fn asks(project: &Project, desk: &Desk) -> Vec<String> {
    let told = |item: &TrustItem| format!("{}: {} ({})", item.asks.words(), escape::plain(&item.what), item.origin);
    list(project, desk).items.iter().map(told).collect()
}

/// Whether a person has agreed to the file as it is.
pub(crate) fn is_trusted(project: &Project, desk: &Desk) -> Result<bool, Failure> {
    let list = list(project, desk);
    if list.is_empty() {
        return Ok(true);
    }
    trust_record::is_trusted(&desk.context.home, &project.folder, &list.digest).map_err(|error| failure(&error))
}

/// Remembers that a person has agreed.
pub(crate) fn record(project: &Project, desk: &Desk) -> Result<(), Failure> {
    let recorded = trust_record::record(&desk.context.home, &project.folder, &list(project, desk).digest);
    recorded.map_err(|error| failure(&error))
}

/// Goes on if the file asks for nothing, or a person has agreed to it.
///
/// # Errors
/// E090, which names all that is asked for.
pub(super) fn need(project: &Project, desk: &Desk) -> Result<(), Failure> {
    if is_trusted(project, desk)? {
        return Ok(());
    }
    let refusal = list(project, desk).refusal(&project.files);
    Err(open::told(&refusal, desk)?.exiting(CONSENT_REFUSED))
}

fn list(project: &Project, desk: &Desk) -> TrustList {
    let home = desk.context.personal.as_ref().and_then(|home| std::fs::canonicalize(home).ok());
    TrustList::asked(&project.file, &project.folder, home.as_deref(), &project.files)
}

fn failure(error: &TrustError) -> Failure {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure::new(Code::FileError, format!("{error}{source}"))
}
