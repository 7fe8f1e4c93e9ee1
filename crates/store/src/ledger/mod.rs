//! The ledger in one SQLite file: opens it, and keeps each promise with one transaction.
//! The statements are in `write.rs` and `read.rs`, the words of rows in `row.rs`.
//!
//! ```text
//! intent:  open ──close──▶ landed | turned_back      machine row: absent ──create lands──▶ kept
//!            └──another open of its machine──▶ superseded    │                              │
//!                                          create turns back └─▶ removed   destroyed, a day ┘
//! ```

mod fault;
mod read;
mod row;
mod schema;
mod write;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use machine_core::intent::{Event, Intent, Outcome};
use machine_core::promise::ledger::{Ledger, LedgerError};
use machine_core::{IntentId, Machine, Refusal};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqlitePool, Transaction};

use fault::{Fault, READ, WRITE};

/// How long a destroyed machine and the intents about it are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// How long a write waits for another process that has the file, such as a backup.
const PATIENCE: Duration = Duration::from_secs(10);

/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    // One connection: writes queue here, in order, instead of failing as busy.
    pool: SqlitePool,
    path: PathBuf,
    now: fn() -> Timestamp,
}

impl SqliteLedger {
    /// Opens the ledger at `path`, makes it if it is not there, and brings its schema up to date.
    /// Its folder must exist. `now` dates what comes without a time of its own.
    ///
    /// # Errors
    /// `Broken` if the file is damaged, or was written by a newer version; `DiskFull`.
    pub async fn open(path: &Path, now: fn() -> Timestamp) -> Result<Self, LedgerError> {
        let explain = |fault: Fault| fault.explain("open", path);
        keep_private(path).map_err(explain)?;
        let pool = connect(path).await.map_err(explain)?;
        let ledger = Self { pool, path: path.to_owned(), now };
        schema::bring_up_to_date(&ledger.pool).await.map_err(explain)?;
        let mut transaction = ledger.begin().await.map_err(explain)?;
        write::forget(&mut transaction, ledger.horizon()).await.map_err(explain)?;
        transaction.commit().await.map_err(|error| explain(error.into()))?;
        Ok(ledger)
    }

    /// What ended before this moment is forgotten.
    fn horizon(&self) -> Timestamp {
        (self.now)().checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN)
    }

    /// Takes the write lock at once: a transaction that reads first and then cannot write would fail as busy.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Fault> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    fn cannot_write(&self) -> impl Fn(Fault) -> LedgerError {
        |fault| fault.explain(WRITE, &self.path)
    }

    fn cannot_read(&self) -> impl Fn(Fault) -> LedgerError {
        |fault| fault.explain(READ, &self.path)
    }

    async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), LedgerError> {
        transaction.commit().await.map_err(|error| self.cannot_write()(error.into()))
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn open(&self, intent: &Intent, machine: &Machine) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await.map_err(self.cannot_write())?;
        write::forget(&mut transaction, self.horizon()).await.map_err(self.cannot_write())?;
        write::open(&mut transaction, intent, machine).await.map_err(self.cannot_write())?;
        self.commit(transaction).await
    }

    async fn note(&self, intent: &IntentId, step: &str) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await.map_err(self.cannot_write())?;
        write::note(&mut transaction, intent, step, (self.now)()).await.map_err(self.cannot_write())?;
        self.commit(transaction).await
    }

    async fn turn_back(&self, intent: &IntentId, why: &Refusal) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await.map_err(self.cannot_write())?;
        write::turn_back(&mut transaction, intent, why).await.map_err(self.cannot_write())?;
        self.commit(transaction).await
    }

    async fn close(&self, intent: &IntentId, outcome: &Outcome, machine: &Machine) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await.map_err(self.cannot_write())?;
        write::close(&mut transaction, intent, outcome, machine, (self.now)()).await.map_err(self.cannot_write())?;
        self.commit(transaction).await
    }

    async fn witness(&self, machine: &Machine, what: &str) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await.map_err(self.cannot_write())?;
        write::witness(&mut transaction, machine, what, (self.now)()).await.map_err(self.cannot_write())?;
        self.commit(transaction).await
    }

    async fn machines(&self) -> Result<Vec<Machine>, LedgerError> {
        read::machines(&self.pool, self.horizon()).await.map_err(self.cannot_read())
    }

    async fn unfinished(&self) -> Result<Vec<Intent>, LedgerError> {
        read::unfinished(&self.pool).await.map_err(self.cannot_read())
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        read::events(&self.pool, after, limit).await.map_err(self.cannot_read())
    }
}

/// Makes the file before SQLite does, readable to its owner alone: specs hold people's environments.
fn keep_private(path: &Path) -> Result<(), Fault> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map(drop).map_err(Fault::File)
}

async fn connect(path: &Path) -> Result<SqlitePool, Fault> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Full: every commit is synced. Normal would survive our death, but not a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .foreign_keys(true);
    let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    // A full disk ends a transaction without sqlx's knowing, which then counts it as open for ever.
    // Connections are pinged when they come back, so an open transaction here is such a one: away with it.
    let pool = pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
    Ok(pool.test_before_acquire(false).connect_with(options).await?)
}

#[cfg(test)]
mod tests;
