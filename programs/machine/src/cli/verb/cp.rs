//! `cp`: files and folders between this computer and a machine. What is copied how is in `copy/`.

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::word::place::Place;
use crate::cli::{Desk, copy};

const AFTER_HELP: &str = "\
Exactly one side is NAME:/path. As with cp, what is copied lands in DST if that is a folder, else it
becomes DST; SRC/. means what is in the folder. Modes are kept, and links inside folders stay links.
What is copied into a machine belongs to root there. A file appears when it is complete.

Examples:
  machine cp site.conf web:/etc/nginx/conf.d/
  machine cp ./site web:/srv/site
  machine cp web:/var/log/syslog .
  machine cp web:/srv/site/. ./backup";

/// From where to where.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CpArguments {
    /// file or folder to copy
    #[arg(value_name = "SRC")]
    from: Place,

    /// where to
    #[arg(value_name = "DST")]
    to: Place,
}

/// Copies.
pub(crate) async fn cp(asked: CpArguments, desk: &Desk) -> Result<u8, Failure> {
    copy::copy(&asked.from, &asked.to, desk).await?;
    Ok(0)
}
