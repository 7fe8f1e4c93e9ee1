//! At start: every machine gets its keeper, every unfinished intent goes on, orphans are removed.
//! A second run changes nothing.

use std::collections::BTreeSet;

use machine_core::promise::ledger::LedgerError;
use machine_core::{MachineId, State};
use tracing::{info, warn};

use crate::keeper::{self, KeeperHandle};
use crate::promises::Promises;

/// Seats a keeper for every machine on record; those with an unfinished intent go on with it.
pub(crate) async fn take_up(promises: &Promises) -> Result<Vec<KeeperHandle>, LedgerError> {
    let machines = promises.ledger.machines().await?;
    let mut unfinished = promises.ledger.unfinished().await?;
    let known = machines.iter().filter(|machine| machine.state != State::Destroyed);
    remove_orphans(promises, &known.map(|machine| machine.id.clone()).collect()).await;
    let mut keepers = Vec::with_capacity(machines.len());
    for machine in machines {
        let position = unfinished.iter().position(|intent| intent.machine == machine.id);
        let intent = position.map(|position| unfinished.remove(position));
        keepers.push(keeper::spawn(promises.clone(), machine, intent));
    }
    Ok(keepers)
}

/// Removes what is in this place and belongs to no machine on record.
async fn remove_orphans(promises: &Promises, known: &BTreeSet<MachineId>) {
    let ours = match promises.provider.everything_ours().await {
        Ok(ours) => ours,
        Err(error) => {
            warn!(%error, "cannot list what is here; orphans are looked for at the next start");
            return;
        }
    };
    for orphan in ours.iter().filter(|id| !known.contains(id)) {
        match promises.provider.remove(orphan).await {
            Ok(()) => info!(machine = %orphan, "removed an orphan"),
            Err(error) => warn!(machine = %orphan, %error, "cannot remove an orphan"),
        }
    }
}
