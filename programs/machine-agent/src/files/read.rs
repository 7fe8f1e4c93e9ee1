//! Sends a file.
//!
//! ```text
//! thread: open ──▶ Opened ──chunk, chunk──▶ end, or what failed
//! ```
//! A chunk is read only when the host took an earlier one.

use super::{CHUNK, CHUNKS, path, stat};
use crate::failure::failed;
use crate::line::Teller;
use crate::rights;
use machine_agent_protocol::{Answer, Channel, Failed, FailureCode, FileStat, Opened, Read};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use tokio::sync::mpsc;

enum Piece {
    Opened(FileStat),
    Bytes(Vec<u8>),
}

pub(crate) async fn serve(read: Read, teller: &Teller) -> Result<Answer, Failed> {
    let (sender, mut pieces) = mpsc::channel(CHUNKS);
    let user = read.user.clone();
    let done = rights::begin(user.as_ref(), move || send(&read, &sender))?;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Opened(stat) => teller.answer(Opened { stat }).await,
            Piece::Bytes(bytes) => {
                if teller.data(Channel::Content, bytes).await.is_err() {
                    // Nobody listens; dropping `pieces` ends the thread.
                    break;
                }
            }
        }
    }
    drop(pieces);
    done.await.unwrap_or(Ok(()))?;
    teller.end(Channel::Content).await;
    Ok(Answer::DONE)
}

fn send(read: &Read, pieces: &mpsc::Sender<Piece>) -> Result<(), Failed> {
    let path = path(&read.path);
    let tried = || format!("cannot read {}", path.display());
    let mut file = open(&path).map_err(|error| failed(tried(), &error))?;
    let metadata = file.metadata().map_err(|error| failed(tried(), &error))?;
    if metadata.is_dir() {
        return Err(Failed { code: FailureCode::IsDirectory, message: format!("{}: it is a folder", tried()) });
    }
    if let Some(offset) = read.offset.filter(|offset| *offset > 0) {
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed(tried(), &error))?;
    }
    // A closed channel means that the host has left.
    if pieces.blocking_send(Piece::Opened(stat::describe(&path, &metadata))).is_err() {
        return Ok(());
    }
    let mut left = read.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        let count = file.read(&mut chunk).map_err(|error| failed(tried(), &error))?;
        if count == 0 {
            break;
        }
        chunk.truncate(count);
        left -= u64::try_from(count).unwrap_or(left);
        if pieces.blocking_send(Piece::Bytes(chunk)).is_err() {
            break;
        }
    }
    Ok(())
}

fn open(path: &std::path::Path) -> std::io::Result<File> {
    // Without blocking: a pipe that nobody writes to must not hold the thread for ever.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}
