//! What a guest changed, decided from three trees: both sides when they last agreed, the guest's now, and
//! what is here now where it matters. Reads and writes nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::Guards;
use super::inside::Inside;
use super::place::Tree;
use crate::cli::copy::entry::Entry;

/// What a guest did to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Nothing was there.
    Added(Entry),
    /// Another content or text.
    Modified { was: Entry, now: Entry },
    /// Only the mode.
    Mode { was: Entry, now: Entry },
    /// A file became a link, and the like.
    Kind { was: Entry, now: Entry },
    /// Nothing is there.
    Deleted(Entry),
}

/// Why a change does not come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    /// The guest may not change it here.
    Guarded,
    /// A link that leads out of the folder.
    LeadsOut,
    /// It is no file, folder or link.
    Special,
    /// It was changed here, too.
    Conflict,
}

impl Obstacle {
    /// Whether a person may take it away by saying so.
    pub(crate) const fn gives_way(self) -> bool {
        match self {
            Self::Conflict => true,
            Self::Guarded | Self::LeadsOut | Self::Special => false,
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Where.
    pub(crate) path: Inside,
    /// What.
    pub(crate) what: What,
    /// What is here now.
    pub(crate) here: Option<Entry>,
    /// What is against it.
    pub(crate) obstacles: BTreeSet<Obstacle>,
}

/// How many changes of each sort there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) added: usize,
    pub(crate) modified: usize,
    pub(crate) deleted: usize,
    pub(crate) conflicts: usize,
    pub(crate) refused: usize,
}

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// By their paths.
    pub(crate) all: Vec<Change>,
    /// Changed on both sides to the same.
    pub(crate) same: Vec<(Inside, Option<Entry>)>,
}

/// What is here, as the comparison asks for it.
pub(crate) trait Here {
    /// Why it cannot be told.
    type Error;
    /// What is at a path.
    fn entry(&self, path: &Inside) -> Result<Option<Entry>, Self::Error>;
    /// Whether a link at a path leads out of the folder.
    fn leads_out(&self, path: &Inside, target: &std::path::Path) -> bool;
}

/// Compares.
pub(crate) fn compare<H: Here>(agreed: &Tree, guest: &Tree, guards: &Guards, here: &H) -> Result<Changes, H::Error> {
    let mut changes = Changes::default();
    for (path, (was, now)) in beside(agreed, guest) {
        let Some(what) = what(was, now) else { continue };
        let there = here.entry(path)?;
        if now == there.as_ref() {
            changes.same.push((path.clone(), now.cloned()));
            continue;
        }
        let found = [
            (Obstacle::Guarded, guards.cover(path, now)),
            (Obstacle::LeadsOut, matches!(now, Some(Entry::Link { target }) if here.leads_out(path, target))),
            (Obstacle::Special, matches!(now, Some(Entry::Other))),
            (Obstacle::Conflict, conflict(was, now, there.as_ref())),
        ];
        let obstacles = found.into_iter().filter(|(_, is_there)| *is_there).map(|(obstacle, _)| obstacle).collect();
        changes.all.push(Change { path: path.clone(), what, here: there, obstacles });
    }
    Ok(changes)
}

/// Two trees side by side, by path.
fn beside<'a>(agreed: &'a Tree, guest: &'a Tree) -> BTreeMap<&'a Inside, (Option<&'a Entry>, Option<&'a Entry>)> {
    let mut both: BTreeMap<_, _> = agreed.iter().map(|(path, was)| (path, (Some(was), None))).collect();
    for (path, now) in guest {
        both.entry(path).or_insert((None, None)).1 = Some(now);
    }
    both
}

fn what(was: Option<&Entry>, now: Option<&Entry>) -> Option<What> {
    match (was, now) {
        (None, None) => None,
        (None, Some(now)) => Some(What::Added(now.clone())),
        (Some(was), None) => Some(What::Deleted(was.clone())),
        (Some(was), Some(now)) if was == now => None,
        (Some(was), Some(now)) => {
            let (was, now) = (was.clone(), now.clone());
            Some(match (&was, &now) {
                (Entry::File { digest: old, .. }, Entry::File { digest: new, .. }) if old != new => {
                    What::Modified { was, now }
                }
                (Entry::Link { .. }, Entry::Link { .. }) => What::Modified { was, now },
                (Entry::File { .. }, Entry::File { .. }) | (Entry::Folder { .. }, Entry::Folder { .. }) => {
                    What::Mode { was, now }
                }
                (
                    Entry::File { .. } | Entry::Folder { .. } | Entry::Link { .. } | Entry::Other,
                    Entry::File { .. } | Entry::Folder { .. } | Entry::Link { .. } | Entry::Other,
                ) => What::Kind { was, now },
            })
        }
    }
}

/// Whether something here would be lost that the guest did not know of. A folder alone is nothing to lose.
fn conflict(was: Option<&Entry>, now: Option<&Entry>, here: Option<&Entry>) -> bool {
    let folder = |entry: Option<&Entry>| matches!(entry, Some(Entry::Folder { .. }));
    match here {
        None if folder(was) => false,
        Some(Entry::Folder { .. }) if folder(now) || folder(was) => false,
        None | Some(Entry::File { .. } | Entry::Folder { .. } | Entry::Link { .. } | Entry::Other) => was != here,
    }
}

impl Change {
    /// What the guest has there now.
    pub(crate) const fn now(&self) -> Option<&Entry> {
        match &self.what {
            What::Added(now) | What::Modified { now, .. } | What::Mode { now, .. } | What::Kind { now, .. } => {
                Some(now)
            }
            What::Deleted(_) => None,
        }
    }
}

impl Changes {
    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for change in &self.all {
            match change.what {
                What::Added(_) => counts.added += 1,
                What::Modified { .. } | What::Mode { .. } | What::Kind { .. } => counts.modified += 1,
                What::Deleted(_) => counts.deleted += 1,
            }
            match change.obstacles.first() {
                None => {}
                Some(Obstacle::Guarded | Obstacle::LeadsOut | Obstacle::Special) => counts.refused += 1,
                Some(Obstacle::Conflict) => counts.conflicts += 1,
            }
        }
        counts
    }
}
