//! The fake ledger keeps the same promises as the real one: the suite is the real one's.

use std::sync::{Arc, Mutex};

use machine_testkit::crash::Tripwire;
use machine_testkit::ledger::{Book, FakeLedger};

#[path = "../../store/tests/ledger/conformance.rs"]
mod conformance;

#[tokio::test]
async fn the_fake_keeps_every_promise_of_a_ledger() {
    conformance::conformance(async || FakeLedger::new(Arc::new(Mutex::new(Book::default())), Tripwire::never())).await;
}
