//! The files the machine knows: a number for each inode of the host, held by a descriptor that cannot read or
//! write. Says nothing of what may be done with them.
//!
//! ```text
//! unknown ──entered──▶ known (n times told) ──forgotten n times──▶ unknown
//! ```

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use virtiofsd::filesystem::ROOT_ID;

/// Numbers from here on are excluded places, which no file of the host stands behind.
const EMPTY_FOLDERS: u64 = 1 << 62;

/// What a number of the machine's kernel stands for.
pub(super) enum Known {
    /// A file of the host.
    Node(Arc<Node>),
    /// The n-th excluded place.
    Empty(usize),
}

/// Which inode of the host it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Identity {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// A file of the host that the machine knows.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u64,
    /// Opened with `O_PATH`.
    file: OwnedFd,
    pub(super) kind: FileType,
    pub(super) identity: Identity,
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Node {
    /// A file that has content of its own: the only kind that is opened.
    pub(super) fn regular(&self) -> io::Result<()> {
        if self.kind == FileType::RegularFile { Ok(()) } else { Err(Errno::INVAL.into()) }
    }
}

#[derive(Debug)]
struct Table {
    nodes: HashMap<u64, (Arc<Node>, u64)>,
    ids: HashMap<Identity, u64>,
    next: u64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Nodes {
    root: Arc<Node>,
    table: Mutex<Table>,
}

impl Nodes {
    pub(super) fn new(root: OwnedFd, stat: &Stat) -> Self {
        let identity = Identity::of(stat);
        let root = Arc::new(Node { id: ROOT_ID, file: root, kind: FileType::Directory, identity });
        let table = Mutex::new(Table { nodes: HashMap::new(), ids: HashMap::new(), next: ROOT_ID + 1 });
        Self { root, table }
    }

    pub(super) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    pub(super) fn known(&self, id: u64) -> io::Result<Known> {
        if id == ROOT_ID {
            return Ok(Known::Node(Arc::clone(&self.root)));
        }
        if id >= EMPTY_FOLDERS {
            let index = usize::try_from(id - EMPTY_FOLDERS).map_err(|_| Errno::STALE)?;
            return Ok(Known::Empty(index));
        }
        let table = self.table();
        let (node, _) = table.nodes.get(&id).ok_or(Errno::STALE)?;
        Ok(Known::Node(Arc::clone(node)))
    }

    /// Tells the machine of it once more.
    pub(super) fn enter(&self, file: OwnedFd, stat: &Stat) -> u64 {
        let identity = Identity::of(stat);
        if identity == self.root.identity {
            return ROOT_ID;
        }
        let mut table = self.table();
        if let Some(&id) = table.ids.get(&identity)
            && let Some((_, times)) = table.nodes.get_mut(&id)
        {
            *times = times.saturating_add(1);
            return id;
        }
        let id = table.next;
        table.next += 1;
        let kind = FileType::from_raw_mode(stat.st_mode);
        table.nodes.insert(id, (Arc::new(Node { id, file, kind, identity }), 1));
        table.ids.insert(identity, id);
        id
    }

    pub(super) fn forget(&self, id: u64, count: u64) {
        let mut table = self.table();
        if let Some((node, times)) = table.nodes.get_mut(&id) {
            *times = times.saturating_sub(count);
            if *times == 0 {
                let identity = node.identity;
                table.nodes.remove(&id);
                table.ids.remove(&identity);
            }
        }
    }

    /// The next number, and all files with how often the machine was told of them.
    pub(super) fn all(&self) -> (u64, Vec<(Arc<Node>, u64)>) {
        let table = self.table();
        (table.next, table.nodes.values().cloned().collect())
    }

    /// Numbers below are a predecessor's.
    pub(super) fn number_from(&self, next: u64) {
        let mut table = self.table();
        table.next = table.next.max(next);
    }

    /// As a predecessor numbered it.
    pub(super) fn enter_as(&self, id: u64, times: u64, file: OwnedFd, stat: &Stat) {
        let (identity, kind) = (Identity::of(stat), FileType::from_raw_mode(stat.st_mode));
        let mut table = self.table();
        table.nodes.insert(id, (Arc::new(Node { id, file, kind, identity }), times));
        table.ids.insert(identity, id);
    }

    /// The machine began anew and knows nothing. Numbers are not given twice.
    pub(super) fn forget_all(&self) {
        let mut table = self.table();
        table.nodes.clear();
        table.ids.clear();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it holds the table")
    }
}

/// The number of the n-th excluded place.
pub(super) fn empty_folder(index: usize) -> u64 {
    EMPTY_FOLDERS + index as u64
}
