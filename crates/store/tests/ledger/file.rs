//! What only a file can keep: it survives its process, and says so when it is damaged.

use std::os::unix::fs::PermissionsExt;

use jiff::{SignedDuration, Timestamp};
use machine_core::intent::Outcome;
use machine_core::promise::ledger::{Ledger, LedgerError};
use machine_core::{Code, Command, Machine, Refusal, State};
use machine_store::SqliteLedger;

use crate::conformance::{create, machine, promise};
use crate::{fresh, open};

#[tokio::test]
async fn a_reopened_ledger_sees_everything() {
    let kept = fresh().await;
    let stopped = create(&kept.ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let (start, starting) = promise(2, &stopped, Command::Start, State::Running);
    kept.ledger.open(&start, &starting).await.expect("opens");
    kept.ledger.turn_back(&start.id, &Refusal::new(Code::BootFailed, "no kernel")).await.expect("turns back");
    let before = everything(&kept.ledger).await;
    drop(kept.ledger);

    let again = open(kept.folder.path()).await.expect("opens again");
    assert_eq!(everything(&again).await, before);
    again.close(&start.id, &Outcome::Landed, &stopped).await.expect("goes on");
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let kept = fresh().await;
    let stopped = create(&kept.ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let (start, starting) = promise(2, &stopped, Command::Start, State::Running);
    kept.ledger.open(&start, &starting).await.expect("opens");

    // What the disk holds at this moment: no checkpoint, no farewell, and the index of the log lost.
    let disk = tempfile::tempdir().expect("a temporary folder");
    for file in ["ledger.db", "ledger.db-wal"] {
        std::fs::copy(kept.folder.path().join(file), disk.path().join(file)).expect("copies");
    }
    let revived = open(disk.path()).await.expect("opens");
    assert_eq!(everything(&revived).await, everything(&kept.ledger).await);
    assert_eq!(revived.unfinished().await.expect("reads"), [start]);
}

#[tokio::test]
async fn a_log_torn_by_a_power_cut_loses_only_what_was_not_answered() {
    let kept = fresh().await;
    create(&kept.ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    let before = everything(&kept.ledger).await;
    let whole = std::fs::metadata(kept.folder.path().join("ledger.db-wal")).expect("a log").len();
    create(&kept.ledger, 2, &machine(2, Some("blog"), State::Stopped)).await;

    let disk = tempfile::tempdir().expect("a temporary folder");
    let log = std::fs::read(kept.folder.path().join("ledger.db-wal")).expect("reads");
    let torn = usize::try_from(whole).expect("small") + 1000;
    assert!(torn < log.len());
    std::fs::write(disk.path().join("ledger.db-wal"), &log[..torn]).expect("writes");
    std::fs::copy(kept.folder.path().join("ledger.db"), disk.path().join("ledger.db")).expect("copies");
    assert_eq!(everything(&open(disk.path()).await.expect("opens")).await, before);
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let kept = fresh().await;
    create(&kept.ledger, 1, &machine(1, Some("web"), State::Stopped)).await;
    for (file, contents) in [("ledger.db", b"not a ledger at all, ".repeat(400)), ("ledger.db", vec![0xff; 9000])] {
        let disk = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(disk.path().join(file), &contents).expect("writes");
        let error = open(disk.path()).await.expect_err("is damaged");
        let LedgerError::Broken { tried: "open", detail } = error else { panic!("{error:?}") };
        assert!(detail.contains("ledger.db"), "{detail}");
        assert_eq!(std::fs::read(disk.path().join(file)).expect("reads"), contents, "it is left as it was");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let error = open(std::path::Path::new("/nowhere/at-all")).await.expect_err("is not there");
    assert!(error.to_string().starts_with("cannot open the ledger: /nowhere/at-all/ledger.db: "), "{error}");
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    let kept = fresh().await;
    create(&kept.ledger, 1, &machine(1, None, State::Stopped)).await;
    for file in std::fs::read_dir(kept.folder.path()).expect("reads").flatten() {
        let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[tokio::test]
async fn a_destroyed_machine_is_remembered_for_a_day() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger.db");
    let hours_ago = |hours| Timestamp::now() - SignedDuration::from_hours(hours);
    for (number, clock) in [
        (1, (|| Timestamp::now() - SignedDuration::from_hours(25)) as fn() -> Timestamp),
        (2, || Timestamp::now() - SignedDuration::from_hours(23)),
    ] {
        let ledger = SqliteLedger::open(&path, clock).await.expect("opens");
        let stopped = create(&ledger, number, &machine(number, None, State::Stopped)).await;
        let (destroy, destroying) = promise(number + 10, &stopped, Command::Destroy, State::Destroyed);
        ledger.open(&destroy, &destroying).await.expect("opens");
        let gone = Machine { state: State::Destroyed, open: None, ..destroying };
        ledger.close(&destroy.id, &Outcome::Landed, &gone).await.expect("closes");
    }
    let ledger = SqliteLedger::open(&path, Timestamp::now).await.expect("opens");
    let remembered = ledger.machines().await.expect("reads");
    assert_eq!(
        remembered.iter().map(|machine| &machine.id).collect::<Vec<_>>(),
        [&machine(2, None, State::Stopped).id]
    );
    let events = ledger.events(0, 100).await.expect("reads");
    assert_eq!(events.len(), 4, "events are kept");
    assert!(events[1].at < hours_ago(24) && events[3].at > hours_ago(24));
}

async fn everything(
    ledger: &SqliteLedger,
) -> (Vec<Machine>, Vec<machine_core::Intent>, Vec<machine_core::intent::Event>) {
    (
        ledger.machines().await.expect("reads"),
        ledger.unfinished().await.expect("reads"),
        ledger.events(0, 1000).await.expect("reads"),
    )
}
