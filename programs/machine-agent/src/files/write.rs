//! Takes a file.
//!
//! ```text
//! Part (a hidden name in the same folder) ──End──▶ renamed: seen by all
//!    └──host lost, or cannot write──▶ removed: seen by nobody
//! ```

use super::{CHUNKS, path};
use crate::failure::failed;
use crate::line::{Inbound, Line};
use crate::rights;
use machine_agent_protocol::{Answer, Failed, FailureCode, Write, Written};
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

const DEFAULT_MODE: u32 = 0o644;

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Where the bytes go until they are complete.
enum Place {
    Part { part: PathBuf, target: PathBuf, replaced: Option<Box<Metadata>> },
    InPlace,
}

pub(crate) async fn serve(write: Write, line: Line) -> Result<Answer, Failed> {
    let Line { teller, mut inbox } = line;
    let (sender, pieces) = mpsc::channel(CHUNKS);
    let user = write.user.clone();
    let mut done = rights::begin(user.as_ref(), move || take(&write, pieces))?;
    loop {
        let inbound = tokio::select! {
            // The thread ends early only if it could not write.
            early = &mut done => return answer(early),
            inbound = inbox.recv() => inbound,
        };
        let sent = match inbound {
            Some(Inbound::Data(bytes)) => {
                let count = bytes.len();
                let sent = sender.send(Piece::Bytes(bytes)).await;
                teller.consumed(count).await;
                sent
            }
            Some(Inbound::Control(_)) => Ok(()),
            Some(Inbound::End) => {
                sender.send(Piece::End).await.ok();
                break;
            }
            // The host has left: without an end the thread removes the part.
            None => break,
        };
        if sent.is_err() {
            break;
        }
    }
    drop(sender);
    answer(done.await)
}

fn answer(done: Result<Result<u64, Failed>, tokio::sync::oneshot::error::RecvError>) -> Result<Answer, Failed> {
    let bytes = done.unwrap_or_else(|_| Err(crate::failure::invalid("the file thread ended early")))?;
    Ok(Answer::Written(Written { bytes }))
}

fn take(write: &Write, pieces: mpsc::Receiver<Piece>) -> Result<u64, Failed> {
    let path = path(&write.path);
    let tried = |error: io::Error| failed(format_args!("cannot write {}", path.display()), &error);
    if write.make_parents
        && let Some(parent) = path.parent()
    {
        std::fs::create_dir_all(parent).map_err(tried)?;
    }
    let place = place(write, &path)?;
    let file = open(&place, &path).map_err(tried)?;
    let written = fill(&file, pieces);
    let finished =
        written.and_then(|count| count.map_or(Ok(None), |count| finish(write, &place, &file).map(|()| Some(count))));
    match finished {
        Ok(Some(count)) => Ok(count),
        Ok(None) => {
            discard(&place);
            Err(crate::failure::invalid("the host left before the end of the file"))
        }
        Err(error) => {
            discard(&place);
            Err(tried(error))
        }
    }
}

fn place(write: &Write, path: &Path) -> Result<Place, Failed> {
    // Through links: the file that a link names is replaced, not the link.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let replaced = match std::fs::metadata(&target) {
        Ok(metadata) if metadata.is_dir() => {
            let message = format!("cannot write {}: it is a folder", path.display());
            return Err(Failed { code: FailureCode::IsDirectory, message });
        }
        Ok(metadata) if !metadata.is_file() || !write.truncate => return Ok(Place::InPlace),
        Ok(metadata) => Some(Box::new(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(format_args!("cannot write {}", path.display()), &error)),
    };
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let part = target.with_file_name(format!(".machine-part-{}-{number}", std::process::id()));
    Ok(Place::Part { part, target, replaced })
}

fn open(place: &Place, path: &Path) -> io::Result<File> {
    match place {
        Place::Part { part, .. } => OpenOptions::new().write(true).create_new(true).mode(0o600).open(part),
        Place::InPlace => OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path),
    }
}

/// How much was written; `None` if the end never came.
fn fill(mut file: &File, mut pieces: mpsc::Receiver<Piece>) -> io::Result<Option<u64>> {
    let mut count = 0;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => {
                file.write_all(&bytes)?;
                count += u64::try_from(bytes.len()).unwrap_or_default();
            }
            Piece::End => return Ok(Some(count)),
        }
    }
    Ok(None)
}

fn finish(write: &Write, place: &Place, file: &File) -> io::Result<()> {
    match place {
        Place::InPlace => match write.mode {
            Some(mode) => file.set_permissions(Permissions::from_mode(mode & 0o7777)),
            None => Ok(()),
        },
        Place::Part { part, target, replaced } => {
            let old_mode = replaced.as_ref().map(|old| old.mode() & 0o7777);
            if let (Some(old), None) = (replaced, &write.user) {
                // Written by root for nobody in particular: the file stays whose it was.
                std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))?;
            }
            let mode = write.mode.map(|mode| mode & 0o7777).or(old_mode).unwrap_or(DEFAULT_MODE);
            file.set_permissions(Permissions::from_mode(mode))?;
            std::fs::rename(part, target)
        }
    }
}

fn discard(place: &Place) {
    match place {
        // If it cannot be removed there is nobody left to tell.
        Place::Part { part, .. } => std::fs::remove_file(part).unwrap_or_default(),
        Place::InPlace => {}
    }
}
