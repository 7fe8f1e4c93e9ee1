//! The lock: the same text for the same machine, and every difference told.

use machine_core::Digest;
use machine_machinefile::lock::{LockError, Resolved};
use machine_machinefile::{Lock, Rule};

use crate::stage::Stage;

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().expect("64 digits")
}

fn resolved(base: char) -> Resolved {
    Resolved { base: Some(digest(base)), template: Some(digest('b')), packages: Some("20260102T030405Z".to_owned()) }
}

fn stage() -> Stage {
    let stage = Stage::new("version: 1\nprovision: [{script: a.sh}, {script: b/c.sh}]\n");
    stage.write("a.sh", "true\n");
    stage.write("b/c.sh", "false\n");
    stage
}

#[test]
fn a_lock_is_read_as_it_was_written() {
    let stage = stage();
    assert_eq!(Lock::read(stage.path()).unwrap(), None);
    let lock = Lock::of(&stage.model(), stage.path(), resolved('a')).unwrap();
    lock.write(stage.path()).unwrap();
    assert_eq!(Lock::read(stage.path()).unwrap(), Some(lock.clone()));
    assert_eq!(std::fs::read_to_string(stage.path().join("Machinefile.lock")).unwrap(), lock.text());
    assert!(lock.differences(&lock).is_empty());
}

#[test]
fn what_differs_is_e006_and_what_is_not_locked_is_w002() {
    let stage = stage();
    let lock = Lock::of(&stage.model(), stage.path(), Resolved { template: None, ..resolved('a') }).unwrap();
    stage.write("a.sh", "changed\n");
    let now = Lock::of(&stage.model(), stage.path(), resolved('c')).unwrap();
    let told: Vec<String> = lock.differences(&now).into_iter().map(|difference| difference.what).collect();
    assert_eq!(told, ["base", "scripts.a.sh", "template"]);
    let report = lock.judge(&now);
    let codes: Vec<(Rule, usize)> = report.findings().iter().map(|finding| (finding.code, finding.line)).collect();
    assert_eq!(codes, [(Rule::W002, 1), (Rule::E006, 4), (Rule::E006, 8)], "{}", report.render());
    assert!(report.render().contains("machine lock --update"));
}

#[test]
fn what_is_no_lock_is_refused() {
    let stage = stage();
    stage.write("Machinefile.lock", "{\"version\": 1, \"resolved\": {}, \"scripts\": {}, \"more\": 1}");
    assert!(matches!(Lock::read(stage.path()), Err(LockError::Damaged { .. })));
    stage.write("Machinefile.lock", "{\"version\": 2, \"resolved\": {}, \"scripts\": {}}");
    assert!(matches!(Lock::read(stage.path()), Err(LockError::Version { version: 2, .. })));
}
