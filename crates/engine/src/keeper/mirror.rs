//! Tells a guest what the host changes in the folders that it sees, for as long as the machine runs: virtio-fs carries
//! no such news, and programs in the guest wait for it.
//!
//! ```text
//! Off ──the machine runs, with folders of the host──▶ Telling ──a watcher or the guest was lost──▶ Pausing
//!  ▲                                                    │  ▲                                          │
//!  └──────────────the machine runs no more──────────────┘  └──────────────────────────────────────────┘
//! ```

use std::time::Duration;

use machine_core::machine::Generation;
use machine_core::mount::MountSpec;
use machine_core::promise::provider::ProviderError;
use machine_core::{Machine, MachineId};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::promises::Promises;

const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Who tells one guest.
#[derive(Default)]
pub(super) struct Mirror(Option<(Generation, Telling)>);

/// Ends its task when it is dropped.
struct Telling(AbortHandle);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Mirror {
    /// Tells this launch of the machine if it runs and sees folders, and no other.
    pub(super) fn follow(&mut self, promises: &Promises, machine: &Machine) {
        if !machine.state.holds_memory() || machine.spec.mounts.is_empty() {
            self.0 = None;
        } else if self.0.as_ref().is_none_or(|(launch, _)| *launch != machine.generation) {
            let telling = tell(promises.clone(), machine.id.clone(), machine.spec.mounts.clone());
            self.0 = Some((machine.generation, Telling(tokio::spawn(telling).abort_handle())));
        }
    }
}

async fn tell(promises: Promises, machine: MachineId, mounts: Vec<MountSpec>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let begun = Instant::now();
        let ended = tell_once(&promises, &machine, &mounts).await;
        pause = match ended {
            // A folder's daemon ended, and is started again.
            Ok(()) => SHORTEST_PAUSE,
            Err(_) if begun.elapsed() > LONGEST_PAUSE => SHORTEST_PAUSE,
            Err(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        match ended {
            Ok(()) => {}
            Err(error @ ProviderError::Folder { .. }) => warn!(%machine, %error, "the guest does not see a folder"),
            Err(error) => debug!(%machine, %error, "the guest is not told what the host changes; trying again"),
        }
        tokio::time::sleep(pause).await;
    }
}

async fn tell_once(promises: &Promises, machine: &MachineId, mounts: &[MountSpec]) -> Result<(), ProviderError> {
    let guest = promises.provider.reach_guest(machine).await?;
    promises.folders.mirror(machine, mounts, guest).await
}
