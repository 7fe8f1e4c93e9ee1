//! Carries forwarded connections to a guest's own loopback, for as long as the machine runs.
//!
//! ```text
//! Off ──the machine runs, with a network──▶ Carrying ──the gateway closed, the guest was lost──▶ Pausing
//!  ▲                                          │  ▲                                                 │
//!  └────────the machine runs no more──────────┘  └─────────────────────────────────────────────────┘
//! ```

use std::time::Duration;

use machine_core::machine::Generation;
use machine_core::network::NetworkMode;
use machine_core::promise::network::NetworkError;
use machine_core::{Machine, MachineId, State};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::warn;

use crate::promises::Promises;

const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The relay of one machine.
#[derive(Default)]
pub(super) struct Relay(Option<(Generation, Carrying)>);

/// Ends its task when it is dropped.
struct Carrying(AbortHandle);

impl Drop for Carrying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Relay {
    /// Carries for this launch of the machine if it runs, and for no other.
    pub(super) fn follow(&mut self, promises: &Promises, machine: &Machine) {
        if machine.state != State::Running || machine.spec.network.mode == NetworkMode::None {
            self.0 = None;
        } else if self.0.as_ref().is_none_or(|(launch, _)| *launch != machine.generation) {
            let task = tokio::spawn(carry(promises.clone(), machine.id.clone()));
            self.0 = Some((machine.generation, Carrying(task.abort_handle())));
        }
    }
}

async fn carry(promises: Promises, machine: MachineId) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let begun = Instant::now();
        if let Err(error) = carry_once(&promises, &machine).await {
            warn!(%machine, %error, "ports of the guest's own loopback are not reached; trying again");
        }
        pause = if begun.elapsed() > LONGEST_PAUSE { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}

async fn carry_once(promises: &Promises, machine: &MachineId) -> Result<(), NetworkError> {
    let guest = promises.provider.reach_guest(machine).await?;
    promises.networks.relay(machine, guest).await
}
