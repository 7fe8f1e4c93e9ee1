//! What a guest at rest holds ready, so that whoever wakes it need not wait for it: under emulation every path
//! through the kernel is slow the first time, and a restored guest walks each for the first time.

use super::notices::HeldBack;
use super::{boot_id, hooks};
use crate::failure::failed;
use crate::{identity, network};
use machine_agent_protocol::Failed;
use std::fs::File;
use std::path::PathBuf;

/// Held from coming to rest until waking.
#[derive(Debug)]
pub(crate) struct Resting {
    /// The source of the kernel's random numbers.
    pub(super) chance: File,
    /// Where the boot id is told.
    pub(super) boot_id: File,
    /// The network card.
    pub(super) card: Option<network::Resting>,
    /// The hooks that there are.
    pub(super) hooks: Vec<PathBuf>,
    /// What the platform may have to tell.
    pub(crate) held_back: HeldBack,
}

impl Resting {
    /// Told to rest once more: only hooks may have changed.
    pub(crate) fn turn_over(self) -> Self {
        Self { hooks: hooks::all(), ..self }
    }

    pub(crate) fn lie_down() -> Result<Self, Failed> {
        Ok(Self {
            chance: identity::chance()?,
            boot_id: boot_id::take_over().map_err(|error| failed("cannot tell the boot id", &error))?,
            card: network::Resting::lie_down().map_err(|error| failed("cannot put the network to rest", &error))?,
            hooks: hooks::all(),
            held_back: HeldBack::all(),
        })
    }
}
