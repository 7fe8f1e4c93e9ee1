//! Sends what a service said: what is kept of it, and then what it says from now on.

use super::log::older;
use crate::failure::failed;
use crate::line::{Gone, Line, Teller};
use crate::rights;
use machine_agent_protocol::{Answer, Channel, Failed, ServiceLog};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

const CHUNK: usize = 32 * 1024;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Sends the log at `path` to the host.
pub(super) async fn serve(log: &ServiceLog, path: &Path, line: Line) {
    let Line { teller, mut inbox } = line;
    let sending = async {
        match send(log, path, &teller).await {
            Ok(Ok(())) => {
                teller.end(Channel::Content).await;
                teller.finish(Answer::DONE).await;
            }
            Ok(Err(Gone)) => {}
            Err(failed) => teller.finish(failed).await,
        }
    };
    tokio::select! {
        () = sending => {}
        // The host has nothing to say here but that it left.
        () = async { while inbox.recv().await.is_some() {} } => {}
    }
}

async fn send(log: &ServiceLog, path: &Path, teller: &Teller) -> Result<Result<(), Gone>, Failed> {
    let (wanted, tail) = (path.to_owned(), log.tail);
    let (kept, mut open) = rights::with(None, move || {
        kept(&wanted, tail).map_err(|error| failed(format_args!("cannot read {}", wanted.display()), &error))
    })
    .await?;
    teller.answer(Answer::DONE).await;
    for chunk in kept.chunks(CHUNK) {
        if teller.data(Channel::Content, chunk.to_vec()).await.is_err() {
            return Ok(Err(Gone));
        }
    }
    if !log.follow {
        return Ok(Ok(()));
    }
    loop {
        match news(&mut open, path) {
            Some(bytes) => {
                if teller.data(Channel::Content, bytes).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
            None => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    }
}

/// What is kept, or its last lines, and the file that goes on.
fn kept(path: &Path, tail: Option<u32>) -> io::Result<(Vec<u8>, Option<File>)> {
    let (mut all, mut open) = (Vec::new(), None);
    for part in [older(path), path.to_owned()] {
        match File::open(&part) {
            Ok(mut file) => {
                file.read_to_end(&mut all)?;
                open = Some(file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let from = tail.map_or(0, |lines| last_lines(&all, lines));
    Ok((all.split_off(from), open))
}

/// Where the last lines begin.
fn last_lines(all: &[u8], lines: u32) -> usize {
    let Ok(lines @ 1..) = usize::try_from(lines) else { return all.len() };
    let body = all.strip_suffix(b"\n").unwrap_or(all);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0)
}

/// What came since, if anything. A file that was put aside is read to its end first.
fn news(open: &mut Option<File>, path: &Path) -> Option<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    if let Some(file) = open {
        // A log that cannot be read on is as one that says nothing.
        let count = file.read(&mut chunk).unwrap_or(0);
        if count > 0 {
            chunk.truncate(count);
            return Some(chunk);
        }
    }
    let now = std::fs::metadata(path).ok()?;
    let same = open.as_ref().and_then(|file| file.metadata().ok());
    if same.is_some_and(|same| (same.dev(), same.ino()) == (now.dev(), now.ino())) {
        return None;
    }
    *open = File::open(path).ok();
    let count = open.as_mut()?.read(&mut chunk).ok().filter(|count| *count > 0)?;
    chunk.truncate(count);
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        for (all, lines, told) in
            [("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 2, "b\nc"), ("a\n", 5, "a\n"), ("a\n", 0, ""), ("", 1, "")]
        {
            assert_eq!(&all[last_lines(all.as_bytes(), lines)..], told, "{all:?} {lines}");
        }
    }

    #[test]
    fn a_log_is_followed_over_the_beginning_of_a_new_file() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(older(&path), "0\n").unwrap();
        std::fs::write(&path, "1\n").unwrap();
        let (all, mut open) = kept(&path, None).unwrap();
        assert_eq!(all, b"0\n1\n");
        assert_eq!(news(&mut open, &path), None);
        File::options().append(true).open(&path).unwrap().write_all(b"2\n").unwrap();
        std::fs::rename(&path, older(&path)).unwrap();
        std::fs::write(&path, "3\n").unwrap();
        assert_eq!(news(&mut open, &path), Some(b"2\n".to_vec()));
        assert_eq!(news(&mut open, &path), Some(b"3\n".to_vec()));
        assert_eq!(news(&mut open, &path), None);
    }
}
