//! A small file that will tell a name. While the guest rests it has room for one, and its page lies in our memory,
//! dirty: whoever wakes tells the name by storing it, and every reader sees it at once.
//!
//! ```text
//! lie_down ──▶ roomy ──sync, ready──▶ ready ──tell──▶ told, empty lines after it ──neaten──▶ the name alone
//!                                       └──somebody touched the file: left alone, written as any other──┘
//! ```
//! Why: to open, read and write a file takes an emulated guest some two thousand blocks of code that it runs for the
//! first time, a third of all that waking is. A page that is dirty already is stored to without the kernel, which
//! writes it to the disk as any other.

use crate::content;
use crate::sys::{self, Page};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

/// See the module.
#[derive(Debug)]
pub(crate) struct Plate {
    file: File,
    page: Page,
    /// The name comes after so many bytes.
    kept: usize,
    /// It has at most so many.
    room: usize,
    /// What is said in its place while there is none.
    nobody: String,
    /// How the file was when it was ready, and how long it shall be.
    ready: Option<(Seen, usize)>,
}

/// What changes with whatever is done to a file by anybody who does not store to its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: i64,
    links: u64,
    changed: (i64, u64),
}

/// Whether the name is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Yes,
    /// The file is not as it was, or the name too long: it must be written as any other.
    No,
}

/// Whether a file has its right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neat {
    Yes,
    /// Somebody has it open.
    Later,
}

impl Plate {
    /// Makes the file hold `kept`, the word for `nobody`, and empty lines: room for a name of at most `room` bytes.
    /// None if that is more than a page.
    pub(crate) fn lie_down(path: &Path, kept: &str, nobody: &str, room: usize) -> io::Result<Option<Self>> {
        if kept.len() + room > Page::LENGTH {
            return Ok(None);
        }
        content::ensure(path, &[kept, &String::from_utf8_lossy(&padded(nobody, room))].concat())?;
        let file = File::options().read(true).write(true).open(path)?;
        let page = Page::of(file.as_fd())?;
        Ok(Some(Self { file, page, kept: kept.len(), room, nobody: nobody.to_owned(), ready: None }))
    }

    /// From now on nothing is done to the file until a name is told; nothing was since `lie_down`. The first store to
    /// a page that is on the disk is what costs; it is done here.
    pub(crate) fn ready(&mut self) -> io::Result<()> {
        let whole = self.kept + self.room;
        if Seen::of(&self.file)?.size == wide(whole) {
            self.page.store(self.kept, &padded(&self.nobody, self.room));
            self.ready = Some((Seen::of(&self.file)?, whole));
        }
        Ok(())
    }

    /// Tells the name.
    pub(crate) fn tell(&mut self, name: &str) -> Told {
        let Some((seen, length)) = &mut self.ready else { return Told::No };
        // A page beyond a file's end is not there: to store to it would end us.
        if name.len() > self.room || !seen.still_holds(&self.file) {
            return Told::No;
        }
        self.page.store(self.kept, &padded(name, self.room));
        *length = self.kept + name.len();
        Told::Yes
    }

    /// Takes the empty lines away, unless somebody did something to the file since.
    pub(crate) fn neaten(&self) -> io::Result<Neat> {
        let Some((seen, length)) = &self.ready else { return Ok(Neat::Yes) };
        if wide(*length) == seen.size {
            return Ok(Neat::Yes);
        }
        // Nobody opens it between the look and the cut: what they write would be cut off.
        match sys::lease(self.file.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Neat::Later),
            leased => leased?,
        }
        let cut = if seen.still_holds(&self.file) { self.file.set_len(wide(*length).unsigned_abs()) } else { Ok(()) };
        sys::end_lease(self.file.as_fd())?;
        cut.map(|()| Neat::Yes)
    }
}

impl Seen {
    fn of(file: &File) -> io::Result<Self> {
        // The plain call: the library's own way to ask is twice as much of the kernel.
        let now = rustix::fs::fstat(file)?;
        Ok(Self { size: now.st_size, links: now.st_nlink, changed: (now.st_ctime, now.st_ctime_nsec) })
    }

    fn still_holds(self, file: &File) -> bool {
        Self::of(file).is_ok_and(|now| now == self)
    }
}

/// With empty lines after it; no more than `room`.
fn padded(text: &str, room: usize) -> Vec<u8> {
    let mut padded = text.as_bytes().to_vec();
    padded.resize(room, b'\n');
    padded
}

fn wide(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const ROOM: usize = 20;

    fn rested() -> (TempDir, PathBuf, Plate) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let mut plate = Plate::lie_down(&path, "kept\n", "nobody\n", ROOM).unwrap().unwrap();
        plate.ready().unwrap();
        (folder, path, plate)
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_name_is_read_as_soon_as_it_is_told_and_stands_alone_afterwards() {
        let (_folder, path, mut plate) = rested();
        assert_eq!(read(&path).trim_end(), "kept\nnobody");
        for name in ["a longer name\n", "web\n"] {
            assert_eq!(plate.tell(name), Told::Yes);
            assert_eq!(read(&path).trim_end(), format!("kept\n{name}").trim_end());
        }
        assert_eq!(plate.neaten().unwrap(), Neat::Yes);
        assert_eq!(read(&path), "kept\nweb\n");
        assert_eq!(plate.neaten().unwrap(), Neat::Yes);
        assert_eq!(read(&path), "kept\nweb\n");
    }

    #[test]
    fn a_name_that_needs_all_the_room_is_told_and_a_longer_one_is_not() {
        let (_folder, path, mut plate) = rested();
        assert_eq!(plate.tell(&"x".repeat(ROOM + 1)), Told::No);
        assert_eq!(plate.tell(&"x".repeat(ROOM)), Told::Yes);
        assert_eq!(plate.neaten().unwrap(), Neat::Yes);
        assert_eq!(read(&path), format!("kept\n{}", "x".repeat(ROOM)));
    }

    #[test]
    fn a_file_that_somebody_changed_is_theirs() {
        let changes: [fn(&Path); 4] = [
            |path| fs::write(path, "").unwrap(),
            |path| File::options().append(true).open(path).unwrap().set_len(4096).unwrap(),
            |path| fs::remove_file(path).unwrap(),
            |path| fs::rename(path, path.with_extension("old")).unwrap(),
        ];
        for change in changes {
            let (_folder, path, mut plate) = rested();
            // The kernel's clock of files is coarse.
            let until = std::time::Instant::now() + std::time::Duration::from_millis(50);
            while std::time::Instant::now() < until {}
            change(&path);
            assert_eq!(plate.tell("web\n"), Told::No);
        }
    }

    #[test]
    fn what_was_written_after_the_name_stays() {
        let (_folder, path, mut plate) = rested();
        assert_eq!(plate.tell("web\n"), Told::Yes);
        let reader = File::open(&path).unwrap();
        assert_eq!(plate.neaten().unwrap(), Neat::Later, "somebody has it open");
        drop(reader);
        std::io::Write::write_all(&mut File::options().append(true).open(&path).unwrap(), b"mine\n").unwrap();
        assert_eq!(plate.neaten().unwrap(), Neat::Yes);
        let text = read(&path);
        assert!(text.starts_with("kept\nweb\n\n") && text.ends_with("\nmine\n"), "{text:?}");
    }

    #[test]
    fn what_is_longer_than_a_page_has_no_plate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        assert!(Plate::lie_down(&path, &"x".repeat(Page::LENGTH), "", 1).unwrap().is_none());
        assert!(!path.exists());
    }
}
