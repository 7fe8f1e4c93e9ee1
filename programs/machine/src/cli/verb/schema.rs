//! `schema`: JSON Schemas that editors check files with.

use clap::Subcommand;

use crate::cli::Desk;
use crate::cli::exit::Failure;

/// Which schema.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum SchemaVerb {
    /// of the Machinefile
    Machinefile,
}

/// Prints a schema.
pub(crate) fn schema(asked: SchemaVerb, desk: &Desk) -> Result<u8, Failure> {
    match asked {
        SchemaVerb::Machinefile => desk.voice.spread(&machine_machinefile::schema())?,
    }
    Ok(0)
}
