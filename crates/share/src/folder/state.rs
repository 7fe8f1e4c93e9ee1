//! What a share hands to its successor when the machine sleeps with the folder mounted: which number stands for which
//! file. Numbers are of use to the machine's kernel; files without a name are lost.
//!
//! A file that the host replaced meanwhile is not handed on. The kernel's question for its number is then stale, and
//! it looks the name up anew.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
use serde::{Deserialize, Serialize};

use super::node::Identity;
use super::{Place, SharedFolder};

/// More than any folder needs.
const LARGEST: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    next: u64,
    nodes: Vec<Saved>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    id: u64,
    times: u64,
    inode: u64,
    /// On the folder's own file system: numbers of devices may differ after the host was started anew.
    at_home: bool,
    place: Vec<u8>,
}

impl SharedFolder {
    pub(crate) fn save(&self, mut to: File) -> io::Result<()> {
        let (next, known) = self.nodes.all();
        let nodes = known.into_iter().filter_map(|(id, times)| self.saved(id, times)).collect();
        to.write_all(&serde_json::to_vec(&State { next, nodes })?)?;
        to.flush()
    }

    pub(crate) fn load(&self, from: File) -> io::Result<()> {
        let mut text = Vec::new();
        from.take(LARGEST).read_to_end(&mut text)?;
        let State { next, nodes } = serde_json::from_slice(&text)?;
        self.nodes.forget_all();
        self.nodes.number_from(next);
        for saved in nodes {
            self.restore(&saved);
        }
        Ok(())
    }

    fn saved(&self, id: u64, times: u64) -> Option<Saved> {
        let node = self.node(id).ok()?;
        let Ok(Place::At(place)) = self.place(&node) else { return None };
        let at_home = self.is_at_home(node.identity);
        Some(Saved { id: node.id, times, inode: node.identity.inode, at_home, place })
    }

    fn restore(&self, saved: &Saved) {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(self.nodes.root(), saved.place.as_slice(), flags, Mode::empty(), resolve);
        let Ok(file) = opened else { return };
        let Ok(stat) = fstat(&file) else { return };
        let identity = Identity::of(&stat);
        if identity.inode == saved.inode && self.is_at_home(identity) == saved.at_home {
            self.nodes.enter_as(saved.id, saved.times, file, &stat);
        }
    }

    fn is_at_home(&self, identity: Identity) -> bool {
        identity.device == self.nodes.root().identity.device
    }
}
