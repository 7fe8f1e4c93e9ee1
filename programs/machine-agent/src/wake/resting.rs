//! What a guest at rest holds ready, so that whoever wakes it need not wait for it: under emulation every path
//! through the kernel is slow the first time, and a restored guest walks each for the first time.
//!
//! ```text
//! lie_down ──▶ quiet, synced ──ready──▶ waking uses it ──the host had its first questions answered──▶ rise
//! ```

use super::notices::HeldBack;
use super::{boot_id, hooks};
use crate::authorities::Trusted;
use crate::console::say;
use crate::failure::failed;
use crate::identity::Plates;
use crate::plate::{Neat, Plate};
use crate::{identity, network};
use machine_agent_protocol::Failed;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// So long the host has for its first questions before the platform is heard again, and what the guest rested
/// with is put away.
const FIRST_QUESTIONS: Duration = Duration::from_millis(300);
/// So often a file that somebody has open is looked at again.
const LOOKS: u32 = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// More than waking needs of either.
const WARM: usize = 64 * 1024;

/// Held from coming to rest until some time after waking.
#[derive(Debug)]
pub(crate) struct Resting {
    /// The source of the kernel's random numbers.
    pub(super) chance: File,
    /// Where the boot id is told.
    pub(super) boot_id: Option<Plate>,
    /// Where names are told.
    pub(super) plates: Plates,
    /// The network card.
    pub(super) card: Option<network::Resting>,
    /// The hooks that there are.
    pub(super) hooks: Vec<PathBuf>,
    /// The certificate authorities that a host added.
    pub(super) trusted: Trusted,
    /// What the platform may have to tell.
    held_back: HeldBack,
}

impl Resting {
    /// Told to rest once more: a card that rests still does, and the platform is still not heard.
    pub(crate) fn turn_over(self, trusted: Trusted) -> Result<Self, Failed> {
        let Self { chance, card, held_back, .. } = self;
        Self::with(chance, card, trusted, held_back)
    }

    pub(crate) fn lie_down(trusted: Trusted) -> Result<Self, Failed> {
        let card = network::Resting::lie_down().map_err(|error| failed("cannot put the network to rest", &error))?;
        Self::with(identity::chance()?, card, trusted, HeldBack::all())
    }

    fn with(
        chance: File,
        card: Option<network::Resting>,
        trusted: Trusted,
        held_back: HeldBack,
    ) -> Result<Self, Failed> {
        Ok(Self {
            chance,
            boot_id: boot_id::plate().map_err(|error| failed("cannot tell the boot id", &error))?,
            plates: Plates::lie_down()?,
            card,
            hooks: hooks::all(),
            trusted,
            held_back,
        })
    }

    /// Holds no file of the root any more.
    pub(super) fn let_go_of_root(&mut self) {
        self.plates = Plates::default();
    }

    /// Hears what the platform has to tell, such as of a device that came.
    pub(super) fn listen(&mut self) {
        std::mem::take(&mut self.held_back).listen();
    }

    /// All is on the disk; nothing is written any more until the guest wakes.
    pub(crate) fn ready(&mut self) -> Result<(), Failed> {
        let boot_id = self.boot_id.as_mut().map_or(Ok(()), Plate::ready);
        boot_id.and_then(|()| self.plates.ready()).map_err(|error| failed("cannot hold names ready", &error))?;
        warm();
        Ok(())
    }

    /// What waking left for later: its answer is on its way. First what a command could see, and before there is
    /// one; then what costs most.
    pub(crate) async fn rise(mut self) {
        let mut neat = self.neaten();
        tokio::time::sleep(FIRST_QUESTIONS).await;
        if self.card.as_ref().is_some_and(network::Resting::wants_ipv6) {
            network::ipv6_on();
        }
        std::mem::take(&mut self.held_back).listen();
        for _ in 0..LOOKS {
            match neat {
                Neat::Yes => return,
                Neat::Later => tokio::time::sleep(LOOK_AGAIN).await,
            }
            neat = self.neaten();
        }
    }

    fn neaten(&mut self) -> Neat {
        self.plates.neaten().unwrap_or_else(|error| {
            // They hold the right names, and empty lines after them.
            say(format_args!("cannot cut the files of names: {error}"));
            Neat::Yes
        })
    }
}

/// Memory that was used once is there; the first use of each page is a fault.
fn warm() {
    std::hint::black_box(&mut [1_u8; WARM]);
    std::hint::black_box(&mut vec![1_u8; WARM]);
}
