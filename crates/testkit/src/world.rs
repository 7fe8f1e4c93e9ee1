//! A world that survives its server: a book, a place, and lives of the server in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use machine_core::{Owner, Progress};
use machine_engine::desk::AfterCreate;
use machine_engine::{Asked, Desk, NewMachine, Promises};

use crate::crash::Tripwire;
use crate::folders::FakeFolders;
use crate::images::FakeImages;
use crate::ledger::{Book, FakeLedger};
use crate::memory_images::FakeMemoryImages;
use crate::networks::FakeNetworks;
use crate::provider::{FakeProvider, Site};
use crate::surroundings::Counting;

/// What outlives a server.
#[derive(Clone, Default)]
pub struct World {
    book: Arc<Mutex<Book>>,
    site: Arc<Site>,
    memory_images: Arc<FakeMemoryImages>,
    lives: Arc<Mutex<u64>>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The place.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The book.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The promises of a new life of the server.
    #[must_use]
    pub fn promises(&self, tripwire: &Tripwire) -> Promises {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        *lives += 1;
        Promises {
            ledger: Arc::new(FakeLedger::new(self.book.clone(), tripwire.clone())),
            provider: Arc::new(FakeProvider::new(self.site.clone(), tripwire.clone())),
            images: Arc::new(FakeImages),
            memory_images: self.memory_images.clone(),
            networks: Arc::new(FakeNetworks::new(self.site.clone(), tripwire.clone())),
            folders: Arc::new(FakeFolders),
            surroundings: Arc::new(Counting::from(*lives * 1_000_000)),
        }
    }

    /// A new life of the server.
    ///
    /// # Panics
    /// If the desk does not open.
    pub async fn live(&self, tripwire: &Tripwire) -> Desk {
        Desk::open(self.promises(tripwire)).await.expect("the fake ledger can be read")
    }
}

/// Someone who asks, with this idempotency key.
#[must_use]
pub fn asked(key: &str) -> Asked {
    Asked { owner: Owner::local_user(0), key: Some(key.to_owned()), request: None, progress: Progress::silent() }
}

/// A small machine of the `base` template by this name, started.
///
/// # Panics
/// If the name is not a machine's name.
#[must_use]
pub fn small(name: &str) -> NewMachine {
    NewMachine {
        name: Some(name.parse().expect("a test names machines well")),
        template: "base".parse().expect("base is a template's name"),
        cpus: 1,
        memory: machine_core::MiB(256),
        disk: machine_core::MiB(1024),
        envs: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
        metadata: "{}".to_owned(),
        cwd: None,
        first_start: machine_core::spec::FirstStart::Image,
        network: machine_core::network::NetworkSpec::default(),
        root: machine_core::spec::RootLife::Persistent,
        mounts: Vec::new(),
        deadlines: machine_core::spec::Deadlines::default(),
        then: AfterCreate::Start,
    }
}
