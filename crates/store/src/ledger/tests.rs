//! What only the inside can bring about: a file that may not grow, statements beside the ledger's own.

use machine_core::promise::ledger::{Ledger, LedgerError};

use super::SqliteLedger;

async fn ledger(folder: &tempfile::TempDir) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(&folder.path().join("ledger.db"), jiff::Timestamp::now).await
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn some_machine(entropy: u8) -> machine_core::Machine {
    let spec = serde_json::json!({
        "name": null, "template": "base", "template_digest": format!("sha256:{}", "0".repeat(64)),
        "cpus": 1, "memory": 256, "disk": 1024, "envs": {}, "labels": {}, "metadata": "x".repeat(4000), "cwd": null,
    });
    machine_core::Machine {
        id: machine_core::MachineId::from_entropy(&[entropy; machine_core::id::ID_ENTROPY]),
        owner: machine_core::Owner::local_user(1000),
        spec: serde_json::from_value(spec).expect("a spec"),
        state: machine_core::State::Stopped,
        open: None,
        reason: None,
        generation: machine_core::machine::Generation(0),
        create_key: None,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        started_at: None,
        stages: Vec::new(),
        found_ports: Vec::new(),
        warnings: Vec::new(),
    }
}

#[tokio::test]
async fn a_ledger_that_may_not_grow_says_disk_full_and_goes_on_when_it_may() {
    let folder = folder();
    let ledger = ledger(&folder).await.expect("opens");
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&ledger.pool).await.expect("a count");
    let limit = |pages| sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")));
    limit(pages + 4).execute(&ledger.pool).await.expect("limits");

    let mut refused = None;
    for entropy in 0..100 {
        if let Err(error) = ledger.witness(&some_machine(entropy), "stopped").await {
            refused = Some((entropy, error));
            break;
        }
    }
    let (entropy, error) = refused.expect("four pages hold no hundred machines");
    assert_eq!(error, LedgerError::DiskFull);
    assert_eq!(ledger.machines().await.expect("reads").len(), usize::from(entropy), "the refused one left no trace");

    limit(1_000_000).execute(&ledger.pool).await.expect("limits");
    ledger.witness(&some_machine(entropy), "stopped").await.expect("goes on");
}

#[tokio::test]
async fn a_ledger_of_a_newer_schema_is_refused() {
    let folder = folder();
    let ledger = ledger(&folder).await.expect("opens");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'from the future', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&ledger.pool).await.expect("inserts");
    ledger.pool.close().await;

    let error = self::ledger(&folder).await.expect_err("newer");
    let LedgerError::Broken { tried: "open", detail } = error else { panic!("{error:?}") };
    assert!(detail.contains("ledger.db") && detail.contains("newer version") && detail.contains("999"), "{detail}");
}

#[tokio::test]
async fn a_state_this_version_does_not_know_is_named() {
    let folder = folder();
    let ledger = ledger(&folder).await.expect("opens");
    ledger.witness(&some_machine(1), "stopped").await.expect("writes");
    sqlx::query("UPDATE machines SET state = 'melted'").execute(&ledger.pool).await.expect("updates");
    let error = ledger.machines().await.expect_err("unknown");
    assert!(error.to_string().contains("not a state: 'melted'"), "{error}");
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_answered() {
    let folder = folder();
    let ledger = ledger(&folder).await.expect("opens");
    for (pragma, expected) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1)] {
        let value: i64 = sqlx::query_scalar(pragma).fetch_one(&ledger.pool).await.expect("answers");
        assert_eq!(value, expected, "{pragma}");
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&ledger.pool).await.expect("answers");
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn an_abandoned_write_leaves_the_ledger_usable() {
    let folder = folder();
    let ledger = std::sync::Arc::new(ledger(&folder).await.expect("opens"));
    for round in 0..50_u32 {
        let (writer, machine) = (ledger.clone(), some_machine(round as u8));
        let task = tokio::spawn(async move { writer.witness(&machine, "stopped").await });
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        task.abort();
        drop(task.await);
    }
    ledger.witness(&some_machine(200), "stopped").await.expect("still writes");
    let (machines, events) = (ledger.machines().await.expect("reads"), ledger.events(0, 1000).await.expect("reads"));
    assert_eq!(machines.len(), events.len(), "a machine and its event come together or not at all");
}
