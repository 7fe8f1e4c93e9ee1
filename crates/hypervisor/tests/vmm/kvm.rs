//! The probe always comes back, with a verdict and a reason.

use std::time::Duration;

use machine_hypervisor::accelerator::{probe, probe_cached};
use machine_hypervisor::process::this_program;

crate::promises! { a_verdict_has_a_reason, a_second_verdict_is_the_first }

async fn a_verdict_has_a_reason() {
    let verdict = probe(&this_program(), Duration::from_secs(2)).await;
    println!("  {:?}: {}", verdict.accelerator, verdict.reason);
    assert!(!verdict.reason.is_empty());
}

async fn a_second_verdict_is_the_first() {
    let cache = tempfile::tempdir().unwrap();
    let first = probe_cached(&this_program(), Duration::from_secs(2), cache.path()).await;
    let second = probe_cached("/nowhere".as_ref(), Duration::from_secs(2), cache.path()).await;
    assert_eq!(first, second);
}
