//! The SQLite ledger keeps the promises of every ledger, and those that only a file can keep.

mod conformance;
mod file;
mod full_disk;

use std::path::Path;

use jiff::Timestamp;
use machine_core::promise::ledger::LedgerError;
use machine_store::SqliteLedger;

/// A ledger in a folder that goes with it.
struct Kept {
    ledger: SqliteLedger,
    folder: tempfile::TempDir,
}

async fn open(folder: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(&folder.join("ledger.db"), Timestamp::now).await
}

async fn fresh() -> Kept {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Kept { ledger: open(folder.path()).await.expect("opens"), folder }
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_ledger() {
    let folders = tempfile::tempdir().expect("a temporary folder");
    let made = std::cell::Cell::new(0);
    conformance::conformance(async || {
        made.set(made.get() + 1);
        let folder = folders.path().join(made.get().to_string());
        std::fs::create_dir(&folder).expect("a folder");
        open(&folder).await.expect("opens")
    })
    .await;
}
