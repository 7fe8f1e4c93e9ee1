//! A log that can be written for ever: it keeps its beginning and its end, and never more than a bound.
//!
//! ```text
//! NAME.log ──full──▶ NAME.first.log          the first time
//! NAME.log ──full──▶ NAME.previous.log       every later time; the one before is lost
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Which log, and how much of it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    name: &'a str,
    first: u64,
    rest: u64,
}

/// The guest's console: the first 256 KiB, and the last 512 KiB to 1 MiB.
pub(crate) const CONSOLE: Shape<'static> = Shape { name: "console", first: 256 << 10, rest: 512 << 10 };

/// What the VMM itself says, mostly nothing.
pub(crate) const VMM: Shape<'static> = Shape { name: "vmm", first: 64 << 10, rest: 64 << 10 };

/// What a companion of this name says.
pub(crate) const fn of_companion(name: &str) -> Shape<'_> {
    Shape { name, first: 64 << 10, rest: 256 << 10 }
}

impl Shape<'_> {
    fn current(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.log", self.name))
    }

    fn first(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.first.log", self.name))
    }

    fn previous(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.previous.log", self.name))
    }

    /// All files that there may be, oldest first.
    pub(crate) fn files(self, folder: &Path) -> [PathBuf; 3] {
        [self.first(folder), self.previous(folder), self.current(folder)]
    }

    /// The last bytes of what is kept. Between `first` and `previous` there may be a gap.
    pub(crate) fn tail(self, folder: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        for path in self.files(folder).into_iter().rev() {
            let mut older = end_of(&path, most.saturating_sub(found.len()))?;
            older.append(&mut found);
            found = older;
        }
        Ok(found)
    }
}

fn end_of(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(bytes),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most as u64)))?;
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The writer's end.
pub(crate) struct BoundedLog {
    name: String,
    folder: PathBuf,
    file: File,
    room: u64,
    rest: u64,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Later,
}

impl BoundedLog {
    /// An empty log; what an earlier run left under this name goes.
    pub(crate) fn create(shape: Shape<'_>, folder: &Path) -> io::Result<Self> {
        for path in shape.files(folder) {
            crate::whole_file::remove(&path)?;
        }
        let file = open(&shape.current(folder))?;
        let (name, folder, place) = (shape.name.to_owned(), folder.to_owned(), Place::First);
        Ok(Self { name, folder, file, room: shape.first, rest: shape.rest, place })
    }

    /// Appends.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.room == 0 {
                self.turn_over()?;
            }
            let fits = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(fits);
            self.file.write_all(now)?;
            self.room -= fits as u64;
            bytes = later;
        }
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let shape = Shape { name: &self.name, first: 0, rest: self.rest };
        let aside = match self.place {
            Place::First => shape.first(&self.folder),
            Place::Later => shape.previous(&self.folder),
        };
        let current = shape.current(&self.folder);
        fs::rename(&current, aside)?;
        self.file = open(&current)?;
        self.place = Place::Later;
        self.room = self.rest;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Shape<'static> = Shape { name: "small", first: 4, rest: 10 };

    fn written(text: &str, piece: usize) -> (tempfile::TempDir, u64) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = BoundedLog::create(SMALL, folder.path()).unwrap();
        for part in text.as_bytes().chunks(piece) {
            log.write(part).unwrap();
        }
        let sizes = SMALL.files(folder.path()).map(|path| fs::metadata(path).map_or(0, |about| about.len()));
        (folder, sizes.iter().sum())
    }

    #[test]
    fn a_short_log_is_kept_whole() {
        let (folder, _) = written("abc", 2);
        assert_eq!(SMALL.tail(folder.path(), 100).unwrap(), b"abc");
        assert_eq!(SMALL.tail(folder.path(), 2).unwrap(), b"bc");
    }

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let text: String = ('a'..='z').chain('A'..='Z').collect();
        for piece in [1, 3, 52] {
            let (folder, kept) = written(&text, piece);
            let tail = String::from_utf8(SMALL.tail(folder.path(), 100).unwrap()).unwrap();
            assert!(tail.starts_with("abcd") && tail.ends_with("YZ"), "{tail}");
            assert!(kept <= 24, "{kept}");
        }
    }

    #[test]
    fn a_log_that_is_not_there_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(SMALL.tail(folder.path(), 10).unwrap(), b"");
    }
}
