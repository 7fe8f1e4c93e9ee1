//! A disk that is really full: the test runs itself again in a mount namespace of its own, on a small
//! tmpfs. Where that is not allowed, `src/ledger/tests.rs` still checks SQLite's own limit.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use machine_core::State;
use machine_core::promise::ledger::{Ledger, LedgerError};

use crate::conformance::machine;
use crate::open;

const SMALL_DISK: &str = "MACHINE_TEST_SMALL_DISK";

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(fill(&PathBuf::from(disk)));
        return;
    }
    let disk = tempfile::tempdir().expect("a temporary folder");
    let mount = "mount -t tmpfs -o size=1m none \"$0\"";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(disk.path());
        command
    };
    if !unshare(mount).output().is_ok_and(|output| output.status.success()) {
        writeln!(std::io::stderr(), "not checked: no mount namespaces here").expect("stderr");
        return;
    }
    let output = unshare(&format!("{mount} && exec \"$1\" --exact full_disk::a_full_disk_is_said_and_nothing_is_lost"))
        .arg(std::env::current_exe().expect("this test"))
        .env(SMALL_DISK, disk.path())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn fill(disk: &Path) {
    let ledger = open(disk).await.expect("opens");
    let mut written = 0;
    let error = loop {
        match ledger.witness(&machine(written, None, State::Stopped), "seen").await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, LedgerError::DiskFull);
    assert!(written > 10, "{written}");
    assert_eq!(ledger.machines().await.expect("reads").len(), usize::from(written));
    drop(ledger);

    let ledger = open(disk).await;
    assert!(matches!(&ledger, Ok(_) | Err(LedgerError::DiskFull)), "{ledger:?}");
    // Room again: a larger disk under the same file.
    assert!(Command::new("mount").args(["-o", "remount,size=8m"]).arg(disk).status().expect("runs").success());
    let ledger = match ledger {
        Ok(ledger) => ledger,
        Err(_) => open(disk).await.expect("opens"),
    };
    ledger.witness(&machine(written, None, State::Stopped), "seen").await.expect("goes on");
    assert_eq!(ledger.machines().await.expect("reads").len(), usize::from(written) + 1);
}
