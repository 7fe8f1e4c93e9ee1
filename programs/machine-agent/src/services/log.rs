//! A service's log: its output, at most 1 MiB of it, in two files of half that.
//!
//! ```text
//! NAME.log ──512 KiB──▶ NAME.log.1 (the one before is gone), a new NAME.log begins
//! ```

use crate::exec::stdio::End;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tokio::io::Interest;

const HALF: u64 = 512 * 1024;
const CHUNK: usize = 16 * 1024;

/// Writes what comes out of `output` to the log until nobody holds the other end. Output that
/// cannot be logged is thrown away: a full disk must not stop the service.
///
/// Nothing is open between two writes: a root that becomes read-only must not have a writer.
pub(super) async fn keep(output: End, path: PathBuf) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = output.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut chunk[..])?)).await;
        let Ok(count @ 1..) = read else { return };
        append(&path, &chunk[..count]).unwrap_or_default();
    }
}

/// Where the half before is.
pub(super) fn older(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    if file.metadata()?.len() < HALF {
        return Ok(());
    }
    std::fs::rename(path, older(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_outgrows_its_limit() {
        let folder = std::env::temp_dir().join(format!("machine-agent-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.log");
        for _ in 0..200 {
            append(&path, &[b'x'; CHUNK]).unwrap();
        }
        let sizes: Vec<u64> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!((1..=2).contains(&sizes.len()));
        assert!(sizes.iter().sum::<u64>() <= 2 * HALF, "{sizes:?}");
    }
}
