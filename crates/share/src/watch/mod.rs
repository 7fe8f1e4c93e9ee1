//! Tells of changes that the host makes to the folder. What is told is in `batch`, which folders are watched in
//! `tree`; what the machine changed itself is known from `own`, and not told.
//!
//! ```text
//! quiet ──a change──▶ settling ──time is up──▶ told ──▶ quiet
//! ```
//! One reader at a time: a new one takes the place of the one before, and is first told to look at everything; the
//! first after the machine slept, what changed meanwhile. Without a reader nothing is kept. A reader that takes nothing for seconds is dropped.

mod batch;
mod tree;

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{ReadFlags, Reader};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, StatxTimestamp, fstat, openat, openat2, statx,
};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use self::batch::{Batch, Kind};
use self::tree::{Entry, Tree, Unwatched};
use crate::folder::Identity;
use crate::own::{Name, OwnChanges};
use crate::plan::Watch;
use crate::rules::{Rules, join};
use crate::slept::{Moment, Sleep, Slept};
use crate::sys;

/// How long a reader may take for what it is told.
const READER_TAKES: Duration = Duration::from_secs(2);

/// What a reader is told where not everything is watched.
const BLIND: &str = "too many folders: changes in some of them are not seen; exclude some, or raise the host's \
                     fs.inotify.max_user_watches";

/// The watcher of a folder.
pub(crate) struct Watcher {
    tree: Tree,
    sight: Sight,
    rules: Rules,
    own: Arc<OwnChanges>,
    slept: Arc<Slept>,
    listener: UnixListener,
    reader: Option<UnixStream>,
    settle: Duration,
    collected: Batch,
    since: Option<Instant>,
    sequence: u64,
}

/// How much of the folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// All of it.
    Whole,
    /// Not what there were no watches for.
    Partial,
}

/// What one event says.
struct Seen {
    watch: i32,
    flags: ReadFlags,
    name: Vec<u8>,
}

/// Runs it on a thread of its own, until the process ends.
pub(crate) fn start(
    root: OwnedFd,
    rules: Rules,
    known: (Arc<OwnChanges>, Arc<Slept>),
    (plan, listener): (Watch, UnixListener),
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
        let ended = Watcher::new(root, rules, known, (&plan, listener)).and_then(Watcher::run);
        if let Err(error) = ended {
            eprintln!("machine share: changes of the host are not told any more: {error}");
        }
    })?;
    Ok(())
}

impl Watcher {
    fn new(
        root: OwnedFd,
        rules: Rules,
        (own, slept): (Arc<OwnChanges>, Arc<Slept>),
        (plan, listener): (&Watch, UnixListener),
    ) -> io::Result<Self> {
        sys::unshare(UnshareFlags::FS)?;
        let tree = Tree::new(root, plan.folders)?;
        let settle = Duration::from_millis(plan.settle_ms);
        let collected = Batch::default();
        let mut watcher = Self {
            tree,
            sight: Sight::Whole,
            rules,
            own,
            slept,
            listener,
            reader: None,
            settle,
            collected,
            since: None,
            sequence: 0,
        };
        watcher.watch(Vec::new(), |_| None);
        Ok(watcher)
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            self.take_reader()?;
            self.take_events()?;
            if self.since.is_some_and(|since| since.elapsed() >= self.settle) {
                self.tell();
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let left = self.since.map(|since| self.settle.saturating_sub(since.elapsed()));
        let left =
            left.map(|left| Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() });
        let mut polled = [PollFd::new(&self.tree, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        match poll(&mut polled, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn take_reader(&mut self) -> io::Result<()> {
        match self.listener.accept() {
            Ok((reader, _)) => {
                reader.set_nonblocking(false)?;
                reader.set_write_timeout(Some(READER_TAKES))?;
                self.reader = Some(reader);
                match self.slept.take() {
                    Some(sleep) => self.look_back(sleep),
                    None => self.collected.rescan(Vec::new()),
                }
                self.note_sight();
                self.since = Some(Instant::now());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_events(&mut self) -> io::Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); 65_536];
        let events = self.tree.as_fd().try_clone_to_owned()?;
        let mut reader = Reader::new(events, &mut buffer);
        loop {
            let seen = match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes().to_vec()).unwrap_or_default();
                    Seen { watch: event.wd(), flags: event.events(), name }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.see(&seen);
            if reader.is_buffer_empty() && self.since.is_some_and(|since| since.elapsed() >= self.settle) {
                return Ok(());
            }
        }
    }

    fn see(&mut self, seen: &Seen) {
        if seen.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.collected.rescan(Vec::new());
            // Folders may have come that we were not told of.
            self.watch(Vec::new(), |_| None);
        } else if seen.flags.contains(ReadFlags::IGNORED) {
            self.tree.forget_watch(seen.watch);
        } else if let Some(folder) = self.tree.place(seen.watch) {
            let place = join(folder, &seen.name);
            self.changed(place, seen);
        }
        if !self.collected.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn changed(&mut self, place: Vec<u8>, seen: &Seen) {
        // The folder itself is told of where it has its name.
        if seen.name.is_empty() || self.rules.hides(&place) {
            return;
        }
        let is_folder = seen.flags.contains(ReadFlags::ISDIR);
        let came = seen.flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        let went = seen.flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM);
        if is_folder && (came || went) {
            self.tree.forget(&place);
        }
        if is_folder && came {
            self.watch(place.clone(), |_| Some(Kind::Created));
        }
        let kind = match (came, went, seen.flags.contains(ReadFlags::MODIFY)) {
            (true, _, _) => Kind::Created,
            (_, true, _) => Kind::Removed,
            (_, _, true) => Kind::Modified,
            (false, false, false) => Kind::Attributes,
        };
        self.collected.change(place, kind);
    }

    /// What the host did while the machine slept.
    fn look_back(&mut self, sleep: Sleep) {
        for place in sleep.lost {
            self.collected.change(place, Kind::Removed);
        }
        self.watch(Vec::new(), |entry| came_to(entry, sleep.since));
    }

    /// Watches a folder and those below it; `kind` says how each file in them is told.
    fn watch(&mut self, place: Vec<u8>, kind: impl Fn(&Entry<'_>) -> Option<Kind>) {
        let collected = &mut self.collected;
        let mut found = |entry: &Entry<'_>| {
            if let Some(kind) = kind(entry) {
                collected.change(entry.place.to_vec(), kind);
            }
        };
        if self.tree.watch(place, &self.rules, &mut found) == Err(Unwatched::TooMany) {
            self.sight = Sight::Partial;
            self.note_sight();
        }
    }

    fn note_sight(&mut self) {
        match self.sight {
            Sight::Whole => {}
            Sight::Partial => self.collected.note(BLIND.to_owned()),
        }
    }

    fn tell(&mut self) {
        self.since = None;
        let collected = std::mem::take(&mut self.collected);
        let Some(mut reader) = self.reader.take() else { return };
        let Some(frame) = collected.told(self.sequence, |place, kind| self.judge(place, kind)) else {
            self.reader = Some(reader);
            return;
        };
        self.sequence += 1;
        // A reader that is gone, or has half of it, is of no use any more.
        self.reader = reader.write_all(&frame).is_ok().then_some(reader);
    }

    /// What a change is now; none where the machine made it.
    fn judge(&self, place: &[u8], kind: Kind) -> Option<Kind> {
        let (above, name) = place
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or_else(|| (&b"."[..], place), |slash| (&place[..slash], &place[slash + 1..]));
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let folder = openat2(self.tree.root(), above, flags, Mode::empty(), resolve).ok();
        let folder = folder.and_then(|folder| fstat(&folder).ok().map(|stat| (folder, Identity::of(&stat))));
        // With its folder gone, it is gone, too.
        let (folder, identity) = folder?;
        let is_own_name = |came_to| self.own.is_last_of_name(identity, name, came_to);
        match found(&folder, name) {
            None if is_own_name(Name::Gone) => None,
            None => Some(Kind::Removed),
            Some(stat) if self.own.is_last_of(&stat) => None,
            Some(stat) if is_folder(&stat) && is_own_name(Name::Made) => None,
            Some(_) if kind == Kind::Removed => Some(Kind::Created),
            Some(_) => Some(kind),
        }
    }
}

fn found(folder: &OwnedFd, name: &[u8]) -> Option<Stat> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).ok()?;
    fstat(&file).ok()
}

/// How a file differs from what it was then. What became of a folder is told of what is in it.
fn came_to(entry: &Entry<'_>, since: Moment) -> Option<Kind> {
    let known =
        statx(entry.folder, entry.name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS | StatxFlags::BTIME).ok()?;
    let moment = |time: StatxTimestamp| (time.tv_sec, time.tv_nsec);
    let is_new =
        StatxFlags::from_bits_retain(known.stx_mask).contains(StatxFlags::BTIME) && moment(known.stx_btime) >= since;
    let is_file = FileType::from_raw_mode(known.stx_mode.into()) != FileType::Directory;
    match (is_new, moment(known.stx_ctime) >= since && is_file) {
        (true, _) => Some(Kind::Created),
        (false, true) => Some(Kind::Modified),
        (false, false) => None,
    }
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

#[cfg(test)]
mod tests;
