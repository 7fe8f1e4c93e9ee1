//! What a share hands to its successor when the machine sleeps with the folder mounted: which number stands for which
//! file. There is nothing else: the machine's kernel sends no message for an open, a close or a lock.
//!
//! ```text
//! known ──has a name──▶ saved ──the same file is there──▶ known by the same number
//!   └──has none──▶ lost ◀─────another one is, or none─────┘
//! ```
//! A number that is lost is given to nobody: the kernel's question for it is stale, and it looks the name up anew.
//! What was saved is believed no more than the machine is: places are opened below the folder, through no link, and
//! none that is excluded; what may be changed is asked of the rules at each change. It is a line of JSON and one for
//! each file, read one at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat, StatxFlags, fstat, openat2, statx};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Place, SharedFolder};
use crate::slept::{Moment, Sleep};

/// One that is written otherwise is refused.
const VERSION: u32 = 1;
/// The longest path of Linux has 4096 bytes, each of which takes six here at most.
const LONGEST_LINE: u64 = 32 << 10;
/// Files that a machine may know when it sleeps.
const MOST: u64 = 10_000_000;
/// Files that are lost and told by name.
const NAMED: usize = 10;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u32,
    /// When the machine fell asleep.
    since: Moment,
    /// The number that the next file gets.
    next: u64,
    /// Files that follow.
    files: u64,
    /// Files that the machine knows, and that have no name any more.
    nameless: u64,
}

/// A file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    id: u64,
    times: u64,
    is: Facts,
    #[serde(with = "bytes")]
    place: Vec<u8>,
}

/// By what a file is told from another that took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    inode: u64,
    /// On the folder's own file system: numbers of devices may differ after the host was started anew.
    at_home: bool,
    /// What kind of file it is.
    kind: u32,
    /// When it was made, where the file system says. The inode of a file that is gone is given to the next.
    born: Option<Moment>,
    /// When it was changed last.
    changed: Moment,
}

impl Facts {
    /// Without a time of birth, only a file that nobody changed is surely itself.
    fn is_same(&self, now: &Self) -> bool {
        let is_same_birth = match (self.born, now.born) {
            (Some(then), Some(now)) => then == now,
            (None, None) => self.changed == now.changed,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_same_birth && (self.inode, self.at_home, self.kind) == (now.inode, now.at_home, now.kind)
    }
}

impl SharedFolder {
    /// The machine's requests must have ended.
    pub(crate) fn save(&self, to: File, since: Moment) -> io::Result<()> {
        let (next, known) = self.nodes.all();
        let count = known.len();
        let mut saved: Vec<Saved> = known.into_iter().filter_map(|(id, times)| self.saved(id, times)).collect();
        saved.sort_unstable_by_key(|saved| saved.id);
        let (files, nameless) = (saved.len() as u64, (count - saved.len()) as u64);
        if files > MOST {
            return Err(damaged("more files are known than can be handed on"));
        }
        let mut to = BufWriter::new(to);
        put(&mut to, &Head { version: VERSION, since, next, files, nameless })?;
        saved.iter().try_for_each(|saved| put(&mut to, saved))?;
        to.flush()
    }

    /// Before the machine's first request.
    pub(crate) fn load(&self, from: File) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let head: Head = take(&mut from)?;
        if head.version != VERSION {
            return Err(damaged("it is of another version"));
        }
        if head.files > MOST {
            return Err(damaged("it has too many files"));
        }
        self.nodes.forget_all();
        self.nodes.number_from(head.next)?;
        let (mut sleep, mut lost) = (Sleep { since: head.since, lost: Vec::new() }, head.nameless);
        for _ in 0..head.files {
            let saved: Saved = take(&mut from)?;
            if !self.restore(&saved) {
                lost = lost.saturating_add(1);
                sleep.lose(saved.place);
            }
        }
        if from.read(&mut [0])? > 0 {
            return Err(damaged("something follows its last file"));
        }
        if lost > 0 {
            eprintln!("machine share: {}", told(&sleep, lost, head.files.saturating_add(head.nameless)));
        }
        self.slept.woke(sleep);
        Ok(())
    }

    fn saved(&self, id: u64, times: u64) -> Option<Saved> {
        let node = self.node(id).ok()?;
        match self.place(&node) {
            Ok(Place::At(place)) => Some(Saved { id, times, is: self.facts(&node).ok()?, place }),
            Ok(Place::Gone) | Err(_) => None,
        }
    }

    fn restore(&self, saved: &Saved) -> bool {
        let Ok((file, stat)) = open(self.nodes.root(), &saved.place) else { return false };
        let is_shown = !self.rules.excludes_something()
            || matches!(self.place_of(&file), Ok(Place::At(place)) if !self.rules.hides(&place));
        let is_same = self.facts(&file).is_ok_and(|now| saved.is.is_same(&now));
        is_shown && is_same && self.nodes.enter_as((saved.id, saved.times), file, &stat, saved.place.clone())
    }

    fn facts(&self, file: impl AsFd) -> io::Result<Facts> {
        let device = self.nodes.root().identity.device;
        let known = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
        let said = StatxFlags::from_bits_retain(known.stx_mask);
        let born = (known.stx_btime.tv_sec, known.stx_btime.tv_nsec);
        Ok(Facts {
            inode: known.stx_ino,
            at_home: rustix::fs::makedev(known.stx_dev_major, known.stx_dev_minor) == device,
            kind: u32::from(known.stx_mode) & libc::S_IFMT,
            born: said.contains(StatxFlags::BTIME).then_some(born),
            changed: (known.stx_ctime.tv_sec, known.stx_ctime.tv_nsec),
        })
    }
}

/// What a machine that wakes has lost, in words.
fn told(sleep: &Sleep, lost: u64, known: u64) -> String {
    let name = |place: &Vec<u8>| String::from_utf8_lossy(place).escape_debug().to_string();
    let places: Vec<String> = sleep.lost.iter().take(NAMED).map(name).collect();
    format!(
        "of the {known} files that the machine knew when it fell asleep, {lost} are gone, or others, or had no name: \
         what it has open of them is stale: {}",
        places.join(", ")
    )
}

/// The file at a place below the folder, through no link, as a descriptor that cannot read or write.
pub(super) fn open(root: impl AsFd, place: &[u8]) -> rustix::io::Result<(OwnedFd, Stat)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(root, place, flags, Mode::empty(), resolve)?;
    let stat = fstat(&file)?;
    Ok((file, stat))
}

fn put(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, what)?;
    to.write_all(b"\n")
}

fn take<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    from.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").ok_or_else(|| damaged("a line of it is not whole"))?;
    Ok(serde_json::from_slice(line)?)
}

fn damaged(how: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, how)
}

/// Bytes as text in which each character is one of them: most are ASCII.
mod bytes {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&bytes.iter().copied().map(char::from).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        text.chars().map(u8::try_from).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}
