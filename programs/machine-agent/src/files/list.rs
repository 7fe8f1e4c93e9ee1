//! Lists a folder, as deep as asked, in the order of names.

use super::{CHUNK, CHUNKS, path, stat};
use crate::failure::failed;
use crate::line::Teller;
use crate::rights;
use machine_agent_protocol::{Answer, Channel, Entry, Failed, GuestPath, List};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use tokio::sync::mpsc;

/// No folder is deeper: a path has at most 4096 bytes.
const DEEPEST: u32 = 2048;

struct Listing {
    pieces: mpsc::Sender<Vec<u8>>,
    bytes: Vec<u8>,
}

/// The host has left.
struct Left;

pub(crate) async fn serve(list: List, teller: &Teller) -> Result<Answer, Failed> {
    let (sender, mut pieces) = mpsc::channel(CHUNKS);
    let user = list.user.clone();
    let done = rights::begin(user.as_ref(), move || send(&list, sender))?;
    while let Some(bytes) = pieces.recv().await {
        if teller.data(Channel::Content, bytes).await.is_err() {
            break;
        }
    }
    drop(pieces);
    done.await.unwrap_or(Ok(()))?;
    teller.end(Channel::Content).await;
    Ok(Answer::DONE)
}

fn send(list: &List, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), Failed> {
    let root = path(&list.path);
    let mut listing = Listing { pieces, bytes: Vec::new() };
    let tried = |error: io::Error| failed(format_args!("cannot list {}", root.display()), &error);
    // Folders still to be listed, the next one last; no recursion, so no stack to overflow.
    let mut open = vec![(root.clone(), list.depth.clamp(1, DEEPEST))];
    let mut first = true;
    while let Some((folder, depth)) = open.pop() {
        let names = match names(&folder) {
            Ok(names) => names,
            Err(error) if first => return Err(tried(error)),
            // One that vanished or is closed to the user has no entries for them.
            Err(_) => Vec::new(),
        };
        first = false;
        let mut deeper = Vec::new();
        for name in names {
            let path = folder.join(name);
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            if listing.add(&root, &path, &metadata).is_err() {
                return Ok(());
            }
            if metadata.is_dir() && depth > 1 {
                deeper.push((path, depth - 1));
            }
        }
        open.extend(deeper.into_iter().rev());
    }
    listing.flush().unwrap_or(());
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

impl Listing {
    fn add(&mut self, root: &Path, path: &Path, metadata: &std::fs::Metadata) -> Result<(), Left> {
        let relative = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes().to_vec();
        let entry = Entry { path: GuestPath::from(relative), stat: stat::describe(path, metadata) };
        self.bytes.extend(entry.encode());
        if self.bytes.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Left> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        self.pieces.blocking_send(std::mem::take(&mut self.bytes)).map_err(|_| Left)
    }
}
