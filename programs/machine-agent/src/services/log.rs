//! A service's log: its output, at most 1 MiB of it, in two files of half that.
//!
//! ```text
//! NAME.log ──512 KiB──▶ NAME.log.1 (the one before is gone), a new NAME.log begins
//! ```

use crate::exec::stdio::End;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tokio::io::Interest;

const HALF: u64 = 512 * 1024;
const CHUNK: usize = 16 * 1024;

/// Writes what comes out of `output` to the log until nobody holds the other end. Output that
/// cannot be logged is thrown away: a full disk must not stop the service.
pub(super) async fn keep(output: End, path: PathBuf) {
    let mut log = Log::open(&path);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = output.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut chunk[..])?)).await;
        let Ok(count @ 1..) = read else { return };
        log = match log {
            Ok(open) => open.append(&chunk[..count], &path),
            Err(_) => Log::open(&path),
        };
    }
}

struct Log {
    file: File,
    length: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    fn append(mut self, bytes: &[u8], path: &Path) -> io::Result<Self> {
        self.file.write_all(bytes)?;
        self.length += u64::try_from(bytes.len()).unwrap_or_default();
        if self.length < HALF {
            return Ok(self);
        }
        std::fs::rename(path, path.with_added_extension("1"))?;
        Self::open(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_outgrows_its_limit() {
        let folder = std::env::temp_dir().join(format!("machine-agent-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.log");
        let mut log = Log::open(&path).unwrap();
        for _ in 0..200 {
            log = log.append(&[b'x'; CHUNK], &path).unwrap();
        }
        let sizes: Vec<u64> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().sum::<u64>() <= 2 * HALF, "{sizes:?}");
    }
}
