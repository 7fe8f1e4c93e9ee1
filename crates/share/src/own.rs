//! What the machine itself changed of late, so that the watcher does not tell it: of a file, the time of its inode's
//! last change as it was right after the machine's; of a name, whether the machine made or removed it. A change of
//! the host after that differs, and is told. Two changes within one tick of the host's clock look like one.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Mutex;

use rustix::fs::Stat;

use crate::folder::Identity;

/// Changes remembered at most, of each kind.
const MOST: usize = 16_384;

/// When an inode changed last.
type Changed = (i64, u64);

/// What a name came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The machine made it.
    Made,
    /// The machine removed it.
    Gone,
}

/// Both, bounded: the oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct OwnChanges {
    files: Mutex<Recent<Identity, Changed>>,
    names: Mutex<Recent<(Identity, Vec<u8>), Name>>,
}

impl OwnChanges {
    pub(crate) fn changed(&self, stat: &Stat) {
        let mut files = self.files.lock().expect("nothing panics while it holds the changes");
        files.put(Identity::of(stat), changed(stat));
    }

    pub(crate) fn named(&self, folder: Identity, name: &[u8], came_to: Name) {
        let mut names = self.names.lock().expect("nothing panics while it holds the changes");
        names.put((folder, name.to_vec()), came_to);
    }

    /// Whether the machine was the last to change this file.
    pub(crate) fn is_last_of(&self, stat: &Stat) -> bool {
        let files = self.files.lock().expect("nothing panics while it holds the changes");
        files.of.get(&Identity::of(stat)) == Some(&changed(stat))
    }

    /// Whether the machine made this name so.
    pub(crate) fn is_last_of_name(&self, folder: Identity, name: &[u8], came_to: Name) -> bool {
        let names = self.names.lock().expect("nothing panics while it holds the changes");
        names.of.get(&(folder, name.to_vec())) == Some(&came_to)
    }
}

fn changed(stat: &Stat) -> Changed {
    (stat.st_ctime, stat.st_ctime_nsec)
}

#[derive(Debug)]
struct Recent<K, V> {
    of: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { of: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    fn put(&mut self, key: K, value: V) {
        if self.of.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
            if self.order.len() > MOST
                && let Some(oldest) = self.order.pop_front()
            {
                self.of.remove(&oldest);
            }
        }
    }
}
