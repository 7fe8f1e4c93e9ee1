//! `kill -9` of the server while real machines start, stop, end and run. Every step is killed at against
//! fakes, in crates/engine/tests/crash.rs; here a few chosen points meet real QEMU.

use crate::home::{Home, PATIENCE, until};

/// Kills the server as soon as a machine is in this phase, then lets a new one settle it.
fn kill_in_phase(home: &Home, words: &[&str], phase: &str) -> String {
    let client = home.spawn(words);
    until(phase, || shown(home)["phase"] == phase);
    settle_after_kill(home, client)
}

/// Kills the server and lets the next one settle what was under way; says where the machine rests.
fn settle_after_kill(home: &Home, mut client: std::process::Child) -> String {
    home.kill_server();
    // The client starts the next server and goes on, or says that it lost this one; both are right.
    let _ = client.kill();
    client.wait().expect("it was started");
    until("what was under way is settled", || {
        let shown = shown(home);
        shown["error"].is_object() || shown["phase"] == shown["state"]
    });
    shown(home)["state"].as_str().unwrap_or("gone").to_owned()
}

/// What `inspect` prints now, an error included.
fn shown(home: &Home) -> serde_json::Value {
    serde_json::from_str(&home.machine(&["inspect", "a", "--json"]).stdout).unwrap_or_default()
}

fn check_no_orphan(home: &Home, running: usize) {
    let supervisors = home.processes().into_iter().filter(|(_, line)| line.contains("supervise")).count();
    assert_eq!(supervisors, running, "{:#?}", home.processes());
}

#[test]
fn a_server_killed_while_a_machine_starts_stops_or_ends_lands_it_or_leaves_nothing() {
    let home = Home::new("crash");
    assert_eq!(kill_in_phase(&home, &["create", "--name", "a"], "starting"), "running");
    check_no_orphan(&home, 1);
    assert_eq!(home.ok(&["exec", "a", "--", "echo", "here"]), "here");

    // A process that does not end at once keeps the machine stopping for a while.
    home.ok(&["exec", "--detach", "a", "--", "bash", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    assert_eq!(kill_in_phase(&home, &["stop", "a"], "stopping"), "stopped");
    check_no_orphan(&home, 0);

    assert_eq!(kill_in_phase(&home, &["start", "a"], "starting"), "running");
    home.ok(&["destroy", "a", "--yes"]);
    check_no_orphan(&home, 0);
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
}

/// Between a supervisor's start and its record lie a few milliseconds; the next server must not start another
/// beside it.
#[test]
fn a_server_killed_right_after_it_started_a_supervisor_leaves_one_vmm() {
    let home = Home::new("window");
    let client = home.spawn(&["create", "--name", "a"]);
    let begun = std::time::Instant::now();
    while !home.processes().iter().any(|(_, line)| line.contains("supervise")) {
        assert!(begun.elapsed() < PATIENCE, "no supervisor was started");
    }
    assert_eq!(settle_after_kill(&home, client), "running");
    check_no_orphan(&home, 1);
    assert_eq!(home.ok(&["exec", "a", "--", "echo", "here"]), "here");
}

#[test]
fn a_machine_outlives_its_server() {
    let home = Home::new("outlives");
    home.ok(&["create", "--name", "a"]);
    let uptime = || home.ok(&["exec", "a", "--", "cut", "-d.", "-f1", "/proc/uptime"]).parse::<u64>().expect("seconds");
    let (boot, before) = (home.ok(&["exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]), uptime());
    home.kill_server();
    assert!(uptime() >= before);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]), boot);
    home.ok(&["serve", "--stop"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]), boot);

    // Destroyed by a server that is killed right after it was asked: it is gone, or the next one ends it.
    let mut client = home.spawn(&["destroy", "a", "--yes"]);
    home.kill_server();
    client.wait().expect("it was started");
    home.machine(&["destroy", "a", "--yes"]);
    until("nothing is left", || home.machine_folders().is_empty());
    check_no_orphan(&home, 0);
}

#[test]
fn destroy_ends_a_machine_that_still_boots() {
    let home = Home::new("supersede");
    let mut client = home.spawn(&["create", "--name", "a"]);
    until("it boots", || shown(&home)["phase"] == "starting");
    home.ok(&["destroy", "a", "--yes"]);
    assert_eq!(client.wait().expect("it was started").code(), Some(7), "who made it is told");
    check_no_orphan(&home, 0);
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_supervisor_that_is_killed_takes_its_vmm_with_it() {
    let home = Home::new("supervisor");
    home.ok(&["create", "--name", "a"]);
    let (pid, _) = home.processes().into_iter().find(|(_, line)| line.contains("supervise")).expect("one runs");
    crate::home::kill(pid);
    until("it is seen", || home.state("a") == "failed");
    assert!(!home.processes().iter().any(|(_, line)| line.contains("qemu-system")), "{:#?}", home.processes());
    home.ok(&["start", "a"]);
    home.ok(&["destroy", "a", "--yes"]);
}
