//! `compare` and, on what it found, `copy_out`: a guest's copy into a private draft here, without trusting
//! what comes, and from there what a person agreed to into the folder.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use machine_sdk::api::Code;

use super::changes::{self, Changes, Here};
use super::guard::Guards;
use super::inside::Inside;
use super::ledger::{Fetched, Ledger, Record};
use super::place::{Place, Tree};
use super::write::{Conflicts, WriteError, Written, against, write};
use super::{CopiedFolder, diff, links};
use crate::cli::Desk;
use crate::cli::copy::channel::ThreadReader;
use crate::cli::copy::entry::{Entry, Mode};
use crate::cli::copy::guest::tar;
use crate::cli::copy::selection::Selection;
use crate::cli::copy::unpack::{Allowance, Modes, Noted, Root, Unpacking, unpack};
use crate::cli::copy::{Copy, blocking, stream};
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::session::Caught;

/// What stays free of the disk that the draft is on.
const RESERVE: u64 = 1 << 30;
/// How many files a guest's copy may have.
const ENTRIES: u64 = 1_000_000;
/// How many bytes their paths may have.
const NAMES: u64 = 256 << 20;

/// A guest's copy beside the folder here. As long as it lives, nobody else copies this folder.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    /// What the guest changed.
    pub(crate) changes: Arc<Changes>,
    /// Whether the guest has no file any more, and had some.
    pub(crate) emptied: bool,
    copy: Copy<'a>,
    ledger: Ledger,
    id: String,
    agreed: Tree,
    draft: Arc<Place>,
    here: Arc<Place>,
    _fetched: Fetched,
}

/// Fetches a guest's copy and compares it with the folder here. Changes nothing on either side.
///
/// # Errors
/// When the machine has no copy of the folder, or a side fails, or the guest sends too much.
pub(crate) async fn compare<'a>(
    desk: &'a Desk,
    machine: &'a str,
    folder: &CopiedFolder,
) -> Result<Comparison<'a>, Failure> {
    let selection = folder.selection()?;
    let mut copy = Copy::begin(desk, machine).await?;
    let id = folder.lasts.whose(&desk.link.ask(async |client| client.get(machine).await).await?);
    let ledger = Ledger::open(&folder.ledger, &folder.here)?;
    let mut agreed = match ledger.read()? {
        Record::Copied { machine, agreed } if machine == id => agreed,
        Record::Nothing | Record::Copying { .. } | Record::Copied { .. } => return Err(never_copied(machine, folder)),
    };
    let fetched = ledger.fetched()?;
    let noted = fetch(&mut copy, folder, &selection, fetched.path()).await?;
    let open =
        |path: &Path| Place::open(path).map(Arc::new).map_err(|error| Failure::path("cannot open", path, &error));
    let (draft, here) = (open(fetched.path())?, open(&folder.here)?);
    let guards = Guards::new(&folder.guard);
    let sides = (Arc::clone(&draft), Arc::clone(&here));
    let (agreed, emptied, changes) = blocking(move || {
        agreed.retain(|path, _| !selection.leaves_out(path.path()));
        let guest = tree(&sides.0, noted, &agreed)?;
        let emptied = guest.is_empty() && !agreed.is_empty();
        let changes = changes::compare(&agreed, &guest, &guards, &*sides.1)?;
        Ok((agreed, emptied, changes))
    })
    .await?
    .map_err(|error: io::Error| Failure::path("cannot compare", &folder.here, &error))?;
    let changes = Arc::new(changes);
    Ok(Comparison { changes, emptied, copy, ledger, id, agreed, draft, here, _fetched: fetched })
}

fn never_copied(machine: &str, folder: &CopiedFolder) -> Failure {
    let (here, guest) = (folder.here.display(), &folder.guest);
    Failure::new(Code::FileNotFound, format!("{machine}:{guest} is no complete copy of {here}"))
        .hint("only what was copied in when the machine was made comes back; use `machine cp` for other files")
}

/// The guest's copy, unpacked into a folder of ours.
async fn fetch(
    copy: &mut Copy<'_>,
    folder: &CopiedFolder,
    selection: &Selection,
    into: &Path,
) -> Result<Noted, Failure> {
    let guest = &folder.guest;
    let how = Unpacking {
        root: Root::Theirs,
        modes: Modes::Noted,
        selection: selection.clone(),
        allowance: allowance(into).map_err(|error| Failure::path("cannot look at the disk of", into, &error))?,
    };
    let patterns: Vec<String> = folder.exclude.iter().map(|path| exclude(path)).collect();
    let mut words = vec!["-c", "-f", "-", "-C", guest];
    words.extend(patterns.iter().map(String::as_str));
    words.push(".");
    let bar = copy.bar(None, guest);
    let (into, counter) = (into.to_owned(), bar.clone());
    let tried = format!("copy {}:{guest} whole", copy.machine);
    let take = move |reader: ThreadReader| unpack(reader, &into, how, &counter);
    let received = stream::receive(copy, tar(&words, false), &tried, &bar, take).await?;
    bar.finish_and_clear();
    if let Err(Failure::Told { detail, .. }) = received.whole {
        copy.desk.voice.say(&crate::cli::word::escape::plain(&detail.message));
    }
    Ok(received.taken)
}

/// `./PATH` matches from the root alone: no path has a `.` further on. Its letters are meant as they are.
fn exclude(path: &str) -> String {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    let mut pattern = "--exclude=.".to_owned();
    for name in names {
        pattern.push('/');
        for letter in name.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
    }
    pattern
}

fn allowance(on: &Path) -> io::Result<Allowance> {
    let disk = rustix::fs::statvfs(on)?;
    let bytes = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(RESERVE);
    Ok(Allowance::Left { bytes, entries: ENTRIES, names: NAMES })
}

/// What was unpacked, with the modes that the guest said. A new one does not lock its owner out here.
fn tree(draft: &Place, noted: Noted, agreed: &Tree) -> io::Result<Tree> {
    let mut tree = draft.tree()?;
    for (path, bits) in noted.modes {
        let Some(path) = Inside::new(&path) else { continue };
        let known = agreed.get(&path).and_then(Entry::mode);
        let said = |least| if known == Some(Mode::of(bits)) { Mode::of(bits) } else { Mode::of(bits | least) };
        match tree.get_mut(&path) {
            Some(Entry::File { mode, .. }) => *mode = said(0o400),
            Some(Entry::Folder { mode }) => *mode = said(0o700),
            Some(Entry::Link { .. } | Entry::Other) | None => {}
        }
    }
    for path in noted.skipped {
        if let Some(path) = Inside::new(&path) {
            tree.entry(path).or_insert(Entry::Other);
        }
    }
    Ok(tree)
}

impl Here for Place {
    type Error = io::Error;

    fn entry(&self, path: &Inside) -> io::Result<Option<Entry>> {
        self.entry(path)
    }

    fn leads_out(&self, path: &Inside, target: &Path) -> bool {
        links::leads_out(path, target, &|names| self.link(names))
    }
}

impl Comparison<'_> {
    /// The contents that changed, as diffs.
    pub(crate) fn diff(&self, paint: Paint) -> Result<String, Failure> {
        let mut text = String::new();
        for change in &self.changes.all {
            let diff = diff::diff(change, &self.draft, &self.here, paint);
            text += &diff.map_err(|error| Failure::file("cannot compare texts", &error))?.unwrap_or_default();
        }
        Ok(text)
    }

    /// Whether there is anything to write.
    pub(crate) fn would_write(&self, conflicts: Conflicts) -> bool {
        self.changes.all.iter().any(|change| against(change, conflicts).is_none())
    }

    /// What the guest has as it was copied in, what is in a folder before it.
    pub(crate) fn unchanged(&self) -> impl Iterator<Item = &Inside> {
        let changed = self.changes.all.iter().map(|change| &change.path);
        let changed: BTreeSet<&Inside> = changed.chain(self.changes.same.iter().map(|(path, _)| path)).collect();
        self.agreed.keys().rev().filter(move |path| !changed.contains(path))
    }

    /// Somebody wants us to stop.
    pub(crate) async fn caught(&mut self) -> Caught {
        self.copy.signals.next().await
    }

    /// Writes the changes to the folder here, and what both sides agree on now to the ledger.
    ///
    /// # Errors
    /// When it is interrupted or the files fail. What was written is whole; a repeat goes on with the rest.
    pub(crate) async fn copy_out(mut self, conflicts: Conflicts) -> Result<Written, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let work = (Arc::clone(&self.changes), Arc::clone(&self.draft), Arc::clone(&self.here), Arc::clone(&stop));
        let writing = blocking(move || write(&work.0.all, &work.1, &work.2, conflicts, &work.3));
        tokio::pin!(writing);
        let written = tokio::select! {
            written = &mut writing => written?,
            caught = self.copy.signals.next() => {
                stop.store(true, Ordering::Relaxed);
                let written = (&mut writing).await?;
                if let Err(WriteError::Interrupted) = written {
                    return Err(self.copy.interrupted(caught, &ProgressBar::hidden()));
                }
                // It was over before it heard.
                written
            }
        };
        let written = written.map_err(told)?;
        if !written.done.is_empty() {
            // Else the ledger could say what a computer that lost its power does not have.
            let here = Arc::clone(&self.here);
            let synced = blocking(move || here.sync()).await?;
            synced.map_err(|error| Failure::path("cannot write", self.here.path(), &error))?;
        }
        self.agree(&written)?;
        Ok(written)
    }

    /// Both sides agree on what was written, and on what they changed to the same.
    fn agree(&self, written: &Written) -> Result<(), Failure> {
        let mut agreed = self.agreed.clone();
        for (path, entry) in self.changes.same.iter().chain(&written.done) {
            match entry {
                Some(entry) => drop(agreed.insert(path.clone(), entry.clone())),
                None => drop(agreed.remove(path)),
            }
        }
        if agreed == self.agreed {
            return Ok(());
        }
        Ok(self.ledger.write(&Record::Copied { machine: self.id.clone(), agreed })?)
    }
}

fn told(error: WriteError) -> Failure {
    match &error {
        WriteError::Interrupted => Failure::new(Code::FileError, error.to_string()),
        WriteError::File { source, .. } => {
            Failure::file(&error, source).hint("nothing half was written; try again when that is mended")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_named_from_the_root_and_letter_by_letter() {
        assert_eq!(exclude("node_modules"), "--exclude=./node_modules");
        assert_eq!(exclude("./web//odd*[x]/"), "--exclude=./web/odd\\*\\[x\\]");
    }

    #[test]
    fn a_new_mode_locks_nobody_out_and_an_old_one_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new", "old"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let noted = Noted {
            modes: [("new", 0o000), ("old", 0o555), ("file", 0o4044)].map(|(path, mode)| (path.into(), mode)).into(),
            skipped: vec!["pipe".into()],
        };
        let path = |name: &str| Inside::new(Path::new(name)).unwrap();
        let agreed = Tree::from([(path("old"), Entry::Folder { mode: Mode::of(0o555) })]);
        let tree = tree(&Place::open(folder.path()).unwrap(), noted, &agreed).unwrap();
        let mode = |name| tree[&path(name)].mode();
        assert_eq!(mode("new"), Some(Mode::of(0o700)));
        assert_eq!(mode("old"), Some(Mode::of(0o555)));
        assert_eq!(mode("file"), Some(Mode::of(0o444)));
        assert_eq!(tree[&path("pipe")], Entry::Other);
    }
}
