//! Which of a VMM's mappings are the guest's memory, told from what the kernel lists of the process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::boot_plan::{Backing, Memory};

/// How the kernel shows memory of no file that can be shared.
const MEMFD: &str = "/memfd:";

/// How the guest's memory looks among the mappings.
pub(crate) struct Guest<'a> {
    memory: &'a Memory,
    pub(super) inode: Option<u64>,
    path: Option<PathBuf>,
}

impl<'a> Guest<'a> {
    pub(crate) fn of(memory: &'a Memory) -> Self {
        let file = match &memory.backing {
            Backing::Anonymous | Backing::Shared => None,
            Backing::Kept(file) | Backing::Image(file) => Some(file),
        };
        let inode = file.and_then(|file| fs::metadata(file).ok()).map(|about| about.ino());
        Self { memory, inode, path: file.map(|file| real(file)) }
    }

    /// A file is known by its path, or by its number where it was renamed; memory of no file by its size.
    pub(crate) fn is(&self, mapping: &Mapping) -> bool {
        match &self.path {
            Some(path) => {
                let shown = mapping.path.strip_suffix(" (deleted)").unwrap_or(&mapping.path);
                Path::new(shown) == path || (mapping.inode != 0 && self.inode == Some(mapping.inode))
            }
            None => {
                (mapping.is_nameless || mapping.path.starts_with(MEMFD)) && mapping.size == self.memory.size.0 << 20
            }
        }
    }

    /// What of its own memory the kernel does not count as the VMM's alone, since whoever serves it folders has
    /// mapped it, too.
    pub(super) fn served(&self, mapping: &Mapping) -> u64 {
        match self.memory.backing {
            Backing::Anonymous | Backing::Shared | Backing::Kept(_) => mapping.resident.saturating_sub(mapping.private),
            Backing::Image(_) => 0,
        }
    }

    pub(super) fn parts(&self, mapping: &Mapping) -> (u64, u64) {
        match self.memory.backing {
            Backing::Anonymous | Backing::Shared | Backing::Kept(_) => (mapping.resident, 0),
            Backing::Image(_) => (mapping.anonymous, mapping.resident.saturating_sub(mapping.anonymous)),
        }
    }
}

/// As the kernel shows it: without links on the way. The file itself may be gone.
fn real(file: &Path) -> PathBuf {
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    folder.zip(file.file_name()).map_or_else(|| file.to_owned(), |(folder, name)| folder.join(name))
}

/// One mapping of a process, as `maps` and `smaps` show it; what it occupies by `smaps` alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// Where in its file it begins, in bytes.
    pub(crate) offset: u64,
    inode: u64,
    path: String,
    is_nameless: bool,
    pub(super) resident: u64,
    pub(super) anonymous: u64,
    pub(super) private: u64,
}

impl Mapping {
    /// `7f00-7f10 rw-p 00000000 08:01 123    /path`
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let address = number(from)?;
        let size = number(to)?.checked_sub(address)?;
        let permissions = words.next()?;
        let offset = number(words.next()?)?;
        let inode = words.nth(1)?.parse().ok()?;
        let path = line.trim_end_matches('\n').find('/').map_or("", |at| line[at..].trim_end_matches('\n')).to_owned();
        // Translated code is nameless too, but can be executed.
        let is_nameless = inode == 0 && permissions == "rw-p" && words.next().is_none();
        Some(Self { address, size, offset, inode, path, is_nameless, ..Self::default() })
    }

    /// `Rss:      123 kB`
    pub(super) fn take(&mut self, line: &str) {
        let Some((name, rest)) = line.split_once(':') else { return };
        let into = match name {
            "Rss" => &mut self.resident,
            "Anonymous" => &mut self.anonymous,
            // Clean pages are a program's or an image's, and private only until another maps them.
            "Private_Dirty" | "Private_Hugetlb" => &mut self.private,
            _ => return,
        };
        let kib: Option<u64> = rest.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
        *into += kib.unwrap_or_default() << 10;
    }
}
