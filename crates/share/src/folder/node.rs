//! The files the machine knows: a number for each inode of the host, held by a descriptor that cannot read or
//! write. Says nothing of what may be done with them.
//!
//! ```text
//! unknown ──entered──▶ open (n times told) ──forgotten n times──▶ unknown
//!                       │            ▲
//!        too many are open          asked for, and still where it was found
//!                       ▼            │
//!                     closed ────────┘
//! ```
//! A descriptor keeps a file's number from being given to another. One that was closed may have been replaced; it is
//! opened again by its last name, and only taken if its number is the same.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use virtiofsd::filesystem::ROOT_ID;

/// Numbers from here on are excluded places, which no file of the host stands behind.
const EMPTY_FOLDERS: u64 = 1 << 62;

/// Folders above each other at most, where a closed file is opened again.
const DEEPEST: usize = 512;

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

/// What the machine was told of a file, open or not.
#[derive(Debug)]
struct Told {
    times: u64,
    identity: Identity,
    kind: FileType,
    /// Where it was found last: how it is opened again.
    found: Found,
    node: Option<Arc<Node>>,
    /// Since its turn to be closed came last.
    used: bool,
}

/// Where it was.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// A name in a folder that the machine knows.
    In { parent: u64, name: CString },
    /// Where a predecessor's file was found again: below the folder of the share.
    At(Vec<u8>),
}

#[derive(Debug)]
struct Table {
    told: HashMap<u64, Told>,
    ids: HashMap<Identity, u64>,
    /// Those that are open, in the order of their turn to be closed.
    open: VecDeque<u64>,
    next: u64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Nodes {
    root: Arc<Node>,
    /// Descriptors at most.
    pub(super) most: usize,
    table: Mutex<Table>,
}

impl Nodes {
    pub(super) fn new(root: OwnedFd, stat: &Stat, most: usize) -> Self {
        let identity = Identity::of(stat);
        let root = Arc::new(Node { id: ROOT_ID, file: root, kind: FileType::Directory, identity });
        let next = ROOT_ID + 1;
        let table = Table { told: HashMap::new(), ids: HashMap::new(), open: VecDeque::new(), next };
        Self { root, most, table: Mutex::new(table) }
    }

    pub(super) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    pub(super) fn known(&self, id: u64) -> io::Result<Known> {
        if id >= EMPTY_FOLDERS {
            let index = usize::try_from(id - EMPTY_FOLDERS).map_err(|_| Errno::STALE)?;
            return Ok(Known::Empty(index));
        }
        self.node(id, DEEPEST).map(Known::Node)
    }

    /// Opens it again where it was closed. What is not where it was found is stale, and looked up anew.
    fn node(&self, id: u64, deepest: usize) -> io::Result<Arc<Node>> {
        if id == ROOT_ID {
            return Ok(Arc::clone(&self.root));
        }
        let found = {
            let mut table = self.table();
            let told = table.told.get_mut(&id).ok_or(Errno::STALE)?;
            told.used = true;
            if let Some(node) = &told.node {
                return Ok(Arc::clone(node));
            }
            told.found.clone()
        };
        let (file, stat) = match found {
            Found::In { parent, name } => {
                let parent = self.node(parent, deepest.checked_sub(1).ok_or(Errno::STALE)?)?;
                super::SharedFolder::find(&parent, &name).map_err(|_| Errno::STALE)?
            }
            Found::At(place) => super::state::open(&self.root, &place).map_err(|_| Errno::STALE)?,
        };
        let mut table = self.table();
        let told = table.told.get(&id).ok_or(Errno::STALE)?;
        if told.identity != Identity::of(&stat) || told.kind != FileType::from_raw_mode(stat.st_mode) {
            return Err(Errno::STALE.into());
        }
        Ok(table.open(id, file, self.most))
    }

    /// Tells the machine of it once more.
    pub(super) fn enter(&self, file: OwnedFd, stat: &Stat, found: Found) -> u64 {
        let (identity, kind) = (Identity::of(stat), FileType::from_raw_mode(stat.st_mode));
        if identity == self.root.identity {
            return ROOT_ID;
        }
        let mut table = self.table();
        let before = table.ids.get(&identity).copied();
        // The host may have given the number of a file that is gone, and closed here, to one of another kind.
        let known = before.filter(|id| table.told.get(id).is_some_and(|told| told.kind == kind));
        if let Some(id) = known
            && let Some(told) = table.told.get_mut(&id)
        {
            told.times = told.times.saturating_add(1);
            if told.node.is_none() {
                told.found = found;
                table.open(id, file, self.most);
            }
            return id;
        }
        let id = table.next;
        table.next += 1;
        table.told.insert(id, Told { times: 1, identity, kind, found, node: None, used: true });
        table.ids.insert(identity, id);
        table.open(id, file, self.most);
        id
    }

    pub(super) fn forget(&self, id: u64, count: u64) {
        let mut table = self.table();
        if let Some(told) = table.told.get_mut(&id) {
            told.times = told.times.saturating_sub(count);
            if told.times == 0 {
                let identity = told.identity;
                table.told.remove(&id);
                if table.ids.get(&identity) == Some(&id) {
                    table.ids.remove(&identity);
                }
            }
        }
    }

    /// The machine moved a file.
    pub(super) fn moved(&self, stat: &Stat, found: Found) {
        let mut table = self.table();
        if let Some(id) = table.ids.get(&Identity::of(stat)).copied()
            && let Some(told) = table.told.get_mut(&id)
        {
            told.found = found;
        }
    }

    /// How often the machine was told of each file, and the number that the next one gets.
    pub(super) fn all(&self) -> (u64, Vec<(u64, u64)>) {
        let table = self.table();
        (table.next, table.told.iter().map(|(id, told)| (*id, told.times)).collect())
    }

    /// Numbers below are a predecessor's, and given to no other file.
    pub(super) fn number_from(&self, next: u64) -> io::Result<()> {
        if next >= EMPTY_FOLDERS / 2 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a number that is none of ours"));
        }
        let mut table = self.table();
        table.next = table.next.max(next);
        Ok(())
    }

    /// As a predecessor numbered it. Not where its number, or its file, is another's.
    pub(super) fn enter_as(&self, (id, times): (u64, u64), file: OwnedFd, stat: &Stat, place: Vec<u8>) -> bool {
        let (identity, kind) = (Identity::of(stat), FileType::from_raw_mode(stat.st_mode));
        let mut table = self.table();
        let numbered = (ROOT_ID + 1..table.next).contains(&id) && times > 0;
        let taken = table.told.contains_key(&id) || table.ids.contains_key(&identity);
        if !numbered || taken || identity == self.root.identity {
            return false;
        }
        table.told.insert(id, Told { times, identity, kind, found: Found::At(place), node: None, used: false });
        table.ids.insert(identity, id);
        table.open(id, file, self.most);
        true
    }

    /// The machine began anew and knows nothing. Numbers are not given twice.
    pub(super) fn forget_all(&self) {
        let mut table = self.table();
        table.told.clear();
        table.ids.clear();
        table.open.clear();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it holds the table")
    }
}

impl Table {
    /// Holds a file open, and closes another where there are too many: the first whose turn comes and that was not
    /// used since its last.
    fn open(&mut self, id: u64, file: OwnedFd, most: usize) -> Arc<Node> {
        let told = self.told.get_mut(&id).expect("only what was told is opened");
        let node = Arc::new(Node { id, file, kind: told.kind, identity: told.identity });
        told.node = Some(Arc::clone(&node));
        self.open.push_back(id);
        let mut turns = self.open.len();
        while self.open.len() > most
            && turns > 0
            && let Some(turn) = self.open.pop_front()
        {
            turns -= 1;
            match self.told.get_mut(&turn) {
                Some(told) if told.used || turn == id => {
                    told.used = false;
                    self.open.push_back(turn);
                }
                Some(told) => told.node = None,
                None => {}
            }
        }
        node
    }
}

/// The number of the n-th excluded place.
pub(super) fn empty_folder(index: usize) -> u64 {
    EMPTY_FOLDERS + index as u64
}
