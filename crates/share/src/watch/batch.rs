//! What is told of the host's changes: collected, coalesced and bounded; pure.
//!
//! On the wire a batch is four bytes of length in network order, then as many bytes: one JSON object and a newline.
//!
//! ```json
//! {"sequence":7,"changes":[{"path":"src/a.rs","kind":"modified"}],"rescan":["node_modules/x"],"notes":[]}
//! ```
//! `kind` is `created`, `modified`, `attributes` or `removed`, as of when the batch is sent. A path in `rescan` (the
//! empty one is the folder) stands for everything below it. A name that is no UTF-8 has `path_hex` in the stead of
//! `path`, and makes of a rescan that of the folder above it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Changes of one folder at most; where there are more, the folder is told.
const MOST_OF_A_FOLDER: usize = 64;
/// Changes collected at most; where there are more, everything may have changed.
const MOST: usize = 8192;
/// Where storms are told as one folder at once: a repository's objects.
const STORMY: [&[u8]; 2] = [b".git", b"objects"];

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Its mode or times.
    Attributes,
    /// Its content.
    Modified,
    /// It is new.
    Created,
    /// It is gone.
    Removed,
}

/// What is collected until it is told.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    changes: BTreeMap<Vec<u8>, Kind>,
    rescan: BTreeSet<Vec<u8>>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Told {
    sequence: u64,
    changes: Vec<ToldChange>,
    rescan: BTreeSet<String>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct ToldChange {
    #[serde(flatten)]
    path: ToldPath,
    kind: Kind,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ToldPath {
    Path(String),
    PathHex(String),
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.rescan.is_empty() && self.notes.is_empty()
    }

    pub(crate) fn change(&mut self, place: Vec<u8>, kind: Kind) {
        if let Some(storm) = storm(&place) {
            self.rescan.insert(storm);
        } else if self.changes.len() == MOST && !self.changes.contains_key(&place) {
            self.changes.clear();
            self.rescan(Vec::new());
        } else {
            let so_far = self.changes.entry(place).or_insert(kind);
            *so_far = kind.max(*so_far);
        }
    }

    pub(crate) fn rescan(&mut self, place: Vec<u8>) {
        self.rescan.insert(place);
    }

    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// What is to be told, as it goes over the wire; `judge` sees each change as it was collected, and says what it
    /// is now, or that it is none of the host's. Nothing where nothing is left.
    pub(crate) fn told(self, sequence: u64, judge: impl Fn(&[u8], Kind) -> Option<Kind>) -> Option<Vec<u8>> {
        let Self { changes, mut rescan, notes } = self;
        let mut folders: BTreeMap<Vec<u8>, Vec<(Vec<u8>, Kind)>> = BTreeMap::new();
        for (place, kind) in changes {
            if !rescan.iter().any(|whole| is_below(&place, whole))
                && let Some(kind) = judge(&place, kind)
            {
                folders.entry(above(&place).to_vec()).or_default().push((place, kind));
            }
        }
        let mut changes = Vec::new();
        for (folder, of) in folders {
            if of.len() > MOST_OF_A_FOLDER {
                rescan.insert(folder);
            } else {
                changes.extend(of.into_iter().map(|(place, kind)| ToldChange { path: told_path(place), kind }));
            }
        }
        let whole = rescan.clone();
        rescan.retain(|place| !whole.iter().any(|other| other != place && is_below(place, other)));
        if changes.is_empty() && rescan.is_empty() && notes.is_empty() {
            return None;
        }
        let rescan = rescan.iter().map(|place| told_folder(place)).collect();
        frame(&Told { sequence, changes, rescan, notes })
    }
}

fn frame(told: &Told) -> Option<Vec<u8>> {
    let mut text = serde_json::to_vec(told).ok()?;
    text.push(b'\n');
    let length = u32::try_from(text.len()).ok()?;
    Some([&length.to_be_bytes()[..], &text].concat())
}

fn told_path(place: Vec<u8>) -> ToldPath {
    match String::from_utf8(place) {
        Ok(path) => ToldPath::Path(path),
        Err(error) => ToldPath::PathHex(error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

fn told_folder(place: &[u8]) -> String {
    match str::from_utf8(place) {
        Ok(path) => path.to_owned(),
        Err(_) => told_folder(above(place)),
    }
}

fn storm(place: &[u8]) -> Option<Vec<u8>> {
    let components: Vec<&[u8]> = place.split(|byte| *byte == b'/').collect();
    let at = components.windows(STORMY.len()).position(|names| names == STORMY)?;
    Some(components[..at + STORMY.len()].join(&b'/'))
}

fn above(place: &[u8]) -> &[u8] {
    place.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &place[..slash])
}

fn is_below(place: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || place.strip_prefix(folder).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(batch: Batch) -> serde_json::Value {
        let frame = batch.told(7, |_, kind| Some(kind)).unwrap();
        let (length, text) = frame.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, text.len());
        serde_json::from_slice(text).unwrap()
    }

    #[test]
    fn changes_of_one_file_become_one() {
        let mut batch = Batch::default();
        for kind in [Kind::Created, Kind::Modified, Kind::Attributes] {
            batch.change(b"a/b".to_vec(), kind);
        }
        batch.change(b"\xff".to_vec(), Kind::Removed);
        let expected = serde_json::json!({
            "sequence": 7,
            "changes": [{"path_hex": "ff", "kind": "removed"}, {"path": "a/b", "kind": "created"}],
            "rescan": [], "notes": [],
        });
        assert_eq!(told(batch), expected);
    }

    #[test]
    fn a_storm_becomes_its_folder() {
        let mut batch = Batch::default();
        batch.change(b"x/.git/objects/ab/cdef".to_vec(), Kind::Created);
        for number in 0..=MOST_OF_A_FOLDER {
            batch.change(format!("many/{number}").into_bytes(), Kind::Created);
        }
        batch.change(b"many/sub/x".to_vec(), Kind::Created);
        batch.rescan(b"many/sub".to_vec());
        let told = told(batch);
        assert_eq!(told["rescan"], serde_json::json!(["many", "x/.git/objects"]));
        assert_eq!(told["changes"], serde_json::json!([]));
    }

    #[test]
    fn too_many_changes_become_everything() {
        let mut batch = Batch::default();
        for number in 0..=MOST {
            batch.change(format!("{number}/x").into_bytes(), Kind::Created);
        }
        assert_eq!(told(batch)["rescan"], serde_json::json!([""]));
    }

    #[test]
    fn what_is_none_of_the_hosts_is_not_told() {
        let mut batch = Batch::default();
        batch.change(b"a".to_vec(), Kind::Modified);
        assert!(batch.told(1, |_, _| None).is_none());
    }
}
