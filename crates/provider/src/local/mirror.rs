//! What the host changes in a shared folder, from its daemon's watcher to the guest's agent.
//!
//! ```text
//! share<n>.watch.sock ──batches──▶ changes ──▶ the agent: those who watch files in the guest know
//! ```
//! A watcher ends with its daemon: that is how it is noticed that a daemon was killed, and `mirror` is asked again.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use machine_core::MachineId;
use machine_core::mount::MountSpec;
use machine_core::promise::folders::{FolderEar, FolderNews, Folders, Sharing};
use machine_core::promise::guest::Guest;
use machine_core::promise::project::{HostChange, HostChangeKind, MOST_CHANGES};
use machine_core::promise::provider::ProviderError;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tracing::warn;

use super::{LocalProvider, of_io, shares};

/// A batch that is longer does not come from a watcher of ours.
const LONGEST_BATCH: u32 = 64 << 20;

/// A note that is longer does not, either: it is cut off.
const LONGEST_NOTE: usize = 400;

/// What a watcher says; notes are for people.
#[derive(Debug, Deserialize)]
struct Batch {
    changes: Vec<Told>,
    rescan: Vec<String>,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Told {
    path: Option<String>,
    path_hex: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Created,
    Modified,
    Attributes,
    Removed,
}

#[async_trait]
impl Folders for LocalProvider {
    async fn sharing(&self) -> Result<Sharing, ProviderError> {
        self.sharing_here().await
    }

    async fn mirror(
        &self,
        machine: &MachineId,
        mounts: &[MountSpec],
        guest: Arc<dyn Guest>,
        ear: &FolderEar,
    ) -> Result<(), ProviderError> {
        self.mend(machine, mounts, guest.as_ref()).await?;
        ear.tell(FolderNews::Shown);
        let mut watched = JoinSet::new();
        for (place, mount) in mounts.iter().enumerate() {
            let socket = shares::watch_socket(&self.run(machine), place);
            let (machine, mount, guest, ear) = (machine.clone(), mount.clone(), guest.clone(), ear.clone());
            watched.spawn(async move {
                let watcher = UnixStream::connect(&socket).await;
                let watcher = watcher.map_err(|error| of_io("reach a folder's watcher", &error))?;
                pass_on(watcher, &machine, &mount, guest.as_ref(), &ear).await
            });
        }
        match watched.join_next().await {
            Some(ended) => ended.map_err(|error| super::host_refused("pass on what the host changes", error))?,
            None => Ok(()),
        }
    }
}

/// Until the watcher ends.
async fn pass_on(
    mut watcher: UnixStream,
    machine: &MachineId,
    mount: &MountSpec,
    guest: &dyn Guest,
    ear: &FolderEar,
) -> Result<(), ProviderError> {
    let project = guest.project();
    while let Some(batch) = next(&mut watcher).await.map_err(|error| of_io("read a folder's watcher", &error))? {
        for note in &batch.notes {
            let text: String = note.chars().filter(|letter| !letter.is_control()).take(LONGEST_NOTE).collect();
            warn!(%machine, folder = %mount.source.display(), "{text}");
            ear.tell(FolderNews::Noted { folder: mount.source.clone(), text });
        }
        let changes = batch.changes();
        for some in changes.chunks(MOST_CHANGES) {
            project.touch(&mount.target, some).await?;
        }
    }
    Ok(())
}

async fn next(watcher: &mut UnixStream) -> io::Result<Option<Batch>> {
    let length = match watcher.read_u32().await {
        Ok(length) if length > LONGEST_BATCH => return Err(io::ErrorKind::InvalidData.into()),
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; length];
    watcher.read_exact(&mut bytes).await?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

impl Batch {
    /// As the guest is told. Of a folder that may have changed altogether, the folder itself; of the whole, nothing:
    /// a guest that has just begun has seen nothing yet.
    fn changes(self) -> Vec<HostChange> {
        let rescan = self.rescan.into_iter().filter(|path| !path.is_empty());
        let rescan = rescan.map(|path| HostChange { path: path.into_bytes(), kind: HostChangeKind::Attributes });
        self.changes.into_iter().filter_map(Told::change).chain(rescan).collect()
    }
}

impl Told {
    fn change(self) -> Option<HostChange> {
        let path = match (self.path, self.path_hex) {
            (Some(path), _) => path.into_bytes(),
            (None, Some(hex)) => bytes_of(&hex)?,
            (None, None) => return None,
        };
        let kind = match self.kind {
            Kind::Created => HostChangeKind::Created,
            Kind::Modified => HostChangeKind::Modified,
            Kind::Attributes => HostChangeKind::Attributes,
            Kind::Removed => HostChangeKind::Removed,
        };
        Some(HostChange { path, kind })
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_what_the_guest_is_told() {
        let batch = r#"{"sequence":7,"changes":[{"path":"src/a.rs","kind":"modified"},{"path_hex":"ff2f41","kind":"removed"},
            {"path_hex":"f","kind":"created"}],"rescan":["","node_modules/x"],"notes":["n"]}"#;
        let changes = serde_json::from_str::<Batch>(batch).unwrap().changes();
        let told: Vec<(&[u8], HostChangeKind)> =
            changes.iter().map(|change| (change.path.as_slice(), change.kind)).collect();
        assert_eq!(
            told,
            [
                (&b"src/a.rs"[..], HostChangeKind::Modified),
                (&b"\xff/A"[..], HostChangeKind::Removed),
                (&b"node_modules/x"[..], HostChangeKind::Attributes),
            ]
        );
    }
}
