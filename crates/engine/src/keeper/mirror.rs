//! Tells a guest what the host changes in the folders that it sees, for as long as the machine runs: virtio-fs carries
//! no such news, and programs in the guest wait for it. What is wrong with a folder meanwhile is the keeper's to show.
//!
//! ```text
//! Off ──the machine runs, with folders of the host──▶ Telling ──a watcher or the guest was lost──▶ Pausing
//!  ▲                                                    │  ▲                                          │
//!  └──────────────the machine runs no more──────────────┘  └──────────────────────────────────────────┘
//! ```

use std::time::Duration;

use machine_core::machine::Generation;
use machine_core::mount::MountSpec;
use machine_core::promise::folders::{FolderEar, FolderNews};
use machine_core::promise::provider::ProviderError;
use machine_core::{Machine, MachineId, State};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::promises::Promises;

const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Of what is said about its folders, so much is kept.
const MOST_WARNINGS: usize = 16;

/// Who tells one guest.
#[derive(Default)]
pub(super) struct Mirror(Option<Telling>);

/// Ends its task when it is dropped.
struct Telling {
    launch: Generation,
    warnings: watch::Receiver<Vec<String>>,
    task: AbortHandle,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mirror {
    /// Tells this launch of the machine if it runs and sees folders, and no other.
    pub(super) fn follow(&mut self, promises: &Promises, machine: &Machine) {
        if machine.state != State::Running || machine.spec.mounts.is_empty() {
            self.0 = None;
        } else if self.0.as_ref().is_none_or(|telling| telling.launch != machine.generation) {
            let (warn, warnings) = watch::channel(Vec::new());
            let telling = tell(promises.clone(), machine.id.clone(), machine.spec.mounts.clone(), warn);
            let task = tokio::spawn(telling).abort_handle();
            self.0 = Some(Telling { launch: machine.generation, warnings, task });
        }
    }

    /// What is wrong with the folders now, once that changed; never, if nobody is told of them.
    pub(super) async fn news(&mut self) -> Vec<String> {
        let Some(telling) = &mut self.0 else { return std::future::pending().await };
        match telling.warnings.changed().await {
            Ok(()) => telling.warnings.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

async fn tell(promises: Promises, machine: MachineId, mounts: Vec<MountSpec>, warnings: watch::Sender<Vec<String>>) {
    let heard = warnings.clone();
    let ear = FolderEar::new(move |news| {
        heard.send_if_modified(|known| take(known, news));
    });
    let mut pause = SHORTEST_PAUSE;
    loop {
        let begun = Instant::now();
        let ended = tell_once(&promises, &machine, &mounts, &ear).await;
        pause = match ended {
            // A folder's daemon ended, and is started again.
            Ok(()) => SHORTEST_PAUSE,
            Err(_) if begun.elapsed() > LONGEST_PAUSE => SHORTEST_PAUSE,
            Err(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        match ended {
            Ok(()) => {}
            Err(error @ ProviderError::Folder { .. }) => {
                warn!(%machine, %error, "the guest does not see a folder");
                warnings.send_replace(vec![error.to_string()]);
            }
            Err(error) => debug!(%machine, %error, "the guest is not told what the host changes; trying again"),
        }
        tokio::time::sleep(pause).await;
    }
}

async fn tell_once(
    promises: &Promises,
    machine: &MachineId,
    mounts: &[MountSpec],
    ear: &FolderEar,
) -> Result<(), ProviderError> {
    let guest = promises.provider.reach_guest(machine).await?;
    promises.folders.mirror(machine, mounts, guest, ear).await
}

/// Whether that changes what is to be known.
fn take(known: &mut Vec<String>, news: FolderNews) -> bool {
    match news {
        FolderNews::Shown => !std::mem::take(known).is_empty(),
        FolderNews::Noted { folder, text } => {
            let warning = format!("{}: {text}", folder.display());
            let new = known.len() < MOST_WARNINGS && !known.contains(&warning);
            known.extend(new.then_some(warning));
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_known_once_and_until_the_folders_are_shown_anew() {
        let noted = |text: &str| FolderNews::Noted { folder: "/work".into(), text: text.to_owned() };
        let mut known = Vec::new();
        assert!(!take(&mut known, FolderNews::Shown));
        assert!(take(&mut known, noted("too many")) && !take(&mut known, noted("too many")));
        assert_eq!(known, ["/work: too many"]);
        let new = (0..100).filter(|number: &u8| take(&mut known, noted(&number.to_string()))).count();
        assert_eq!((new + 1, known.len()), (MOST_WARNINGS, MOST_WARNINGS));
        assert!(take(&mut known, FolderNews::Shown) && known.is_empty());
    }
}
