//! A folder of this computer that a guest works on a copy of: copied in when the machine is made, and what
//! the guest changed copied out when a person says so. The guest is not trusted; all is decided here.
//!
//! ```text
//! folder here ──copy_in──▶ guest's copy ──tar──▶ draft ──compare──▶ changes ──a yes──▶ copy_out ──▶ folder here
//!      └──────▶ ledger: what both sides agreed on ────────────────────┘                 └──▶ ledger
//! ```
//!
//! How a stream is packed and unpacked is in `copy/`. Who is asked is the verb's affair.

mod changes;
mod diff;
mod fetch;
mod guard;
mod inside;
mod ledger;
mod links;
mod place;
mod render;
mod send;
mod take_out;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;

use machine_sdk::api::{Code, MachineInfo};

use super::copy::selection::{Selection, Special};
use super::exit::Failure;
pub(crate) use fetch::{Comparison, compare};
use ledger::{Ledger, Record};
pub(crate) use render::{document, left_out, left_out_document, render, summary};
pub(crate) use send::{CopiedIn, copy_in};
pub(crate) use take_out::take_out;
pub(crate) use write::{Conflicts, LeftOut, Written};

/// A folder that a machine has a copy of.
#[derive(Debug, Clone)]
pub(crate) struct CopiedFolder {
    /// Where it is here.
    pub(crate) here: PathBuf,
    /// Where its copy is in the guest.
    pub(crate) guest: String,
    /// Paths from its root that each side has for itself.
    pub(crate) exclude: Vec<String>,
    /// Paths from its root that the guest does not change here.
    pub(crate) guard: Vec<String>,
    /// Whose the copy is in the guest: user and group. Root's, if nobody is named.
    pub(crate) owner: Option<(u32, u32)>,
    /// The file that keeps what both sides agreed on.
    pub(crate) ledger: PathBuf,
    /// How long a copy lasts.
    pub(crate) lasts: Lasts,
}

/// How long a machine's copy of a folder lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// As long as the machine.
    Always,
    /// Until the machine stops: its root is given up then, and the copy with it.
    UntilStopped,
}

impl Lasts {
    /// Whose copy it is, for the ledger.
    fn whose(self, machine: &MachineInfo) -> String {
        match self {
            Self::Always => machine.id.clone(),
            Self::UntilStopped => format!("{}/{}", machine.id, machine.generation),
        }
    }
}

impl CopiedFolder {
    /// Whether a machine has all of it. One that was begun with, or that somebody started by its name, has not.
    pub(crate) fn is_whole_in(&self, machine: &MachineInfo) -> Result<bool, Failure> {
        let known = Ledger::open(&self.ledger, &self.here)?.read()?;
        Ok(match known {
            Record::Copied { machine: id, .. } => id == self.lasts.whose(machine),
            Record::Nothing | Record::Copying { .. } => false,
        })
    }

    /// What of it is copied.
    fn selection(&self) -> Result<Selection, Failure> {
        let left_out = self.exclude.iter().map(|path| {
            inside::Inside::new(path.as_ref()).map(|path| path.path().to_owned()).ok_or_else(|| {
                Failure::new(Code::InvalidRequest, format!("not a path in the folder that is copied: {path}"))
            })
        });
        Ok(Selection { special: Special::Skipped, left_out: left_out.collect::<Result<_, _>>()? })
    }
}
