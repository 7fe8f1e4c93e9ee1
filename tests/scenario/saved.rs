//! Machines that are paused, hibernated and resumed: what runs in them goes on, and does not notice.

use crate::home::Home;

/// A program with memory of its own, a file that it keeps open, and a connection inside the guest: it says what it
/// finds of them, over and over.
const PROGRAM: &str = r#"
import hashlib, os, socket, threading, time
memory = os.urandom(8 << 20)
kept = open("/var/tmp/kept", "a")
server = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(server.getsockname())
far = server.accept()[0]
count = 0
while True:
    count += 1
    near.sendall(b"%08d" % count)
    far.sendall(far.recv(8))
    assert near.recv(8) == b"%08d" % count
    kept.write("%d\n" % count)
    kept.flush()
    with open("/run/said.next", "w") as said:
        said.write("%d %d %s" % (os.getpid(), count, hashlib.sha256(memory).hexdigest()))
    os.rename("/run/said.next", "/run/said")
    time.sleep(0.05)
"#;

/// What the program says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pid: u32,
    count: u64,
    memory: String,
}

/// Starts it in machine `a`, and waits for its first words.
pub(crate) fn start_program(home: &Home) -> Said {
    home.feed(&["exec", "-i", "a", "--", "sh", "-c", "cat > /var/tmp/program.py; sync"], PROGRAM.as_bytes());
    home.ok(&["exec", "--detach", "a", "--", "python3", "/var/tmp/program.py"]);
    home.ok(&["exec", "a", "--", "sh", "-c", "until [ -e /run/said ]; do sleep 0.05; done"]);
    said(home)
}

pub(crate) fn said(home: &Home) -> Said {
    let text = home.ok(&["exec", "a", "--", "cat", "/run/said"]);
    let words: Vec<&str> = text.split(' ').collect();
    let word = |place: usize| words.get(place).copied().unwrap_or_default();
    Said { pid: word(0).parse().expect(&text), count: word(1).parse().expect(&text), memory: word(2).to_owned() }
}

/// It is the same program with the same memory, it counts on, and its file has every number once.
pub(crate) fn check_goes_on(home: &Home, before: &Said) -> Said {
    let wait = "n=$(cut -d' ' -f2 /run/said); until [ $(cut -d' ' -f2 /run/said) -gt $n ]; do sleep 0.02; done";
    home.ok(&["exec", "a", "--", "timeout", "20", "sh", "-c", wait]);
    let now = said(home);
    assert_eq!((now.pid, &now.memory), (before.pid, &before.memory));
    assert!(now.count > before.count, "{now:?} after {before:?}");
    let whole = "cp /var/tmp/kept /run/now; seq $(wc -l < /run/now) | cmp - /run/now";
    home.ok(&["exec", "a", "--", "sh", "-c", whole]);
    now
}

fn check_clock(home: &Home) {
    let now = home.ok(&["exec", "a", "--", "date", "+%s%3N"]).parse::<i64>().expect("milliseconds");
    let here = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is later").as_millis();
    let behind = i64::try_from(here).expect("a time") - now;
    assert!(behind.abs() < 2_000, "the guest's clock is {behind} ms behind");
}

fn vmms(home: &Home) -> usize {
    home.processes().iter().filter(|(_, line)| line.contains("qemu-system") || line.contains("supervise")).count()
}

#[test]
fn what_runs_goes_on_after_a_pause_and_after_every_hibernation() {
    let home = Home::new("saved");
    home.ok(&["create", "--name", "a", "--env", "KEPT=yes"]);
    let boot = home.ok(&["exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    let mut seen = start_program(&home);
    assert_eq!(home.ok(&["pause", "a"]), "a");
    assert_eq!(home.state("a"), "paused");
    assert_eq!(home.ok(&["pause", "a"]), "a", "twice is once");
    home.ok(&["resume", "a"]);
    seen = check_goes_on(&home, &seen);
    check_clock(&home);
    for paused_before in [false, true, false] {
        if paused_before {
            home.ok(&["pause", "a"]);
        }
        assert_eq!(home.ok(&["hibernate", "a"]), "a");
        assert_eq!((home.state("a"), vmms(&home)), ("hibernated".to_owned(), 0));
        home.ok(&["hibernate", "a"]);
        home.ok(&[if paused_before { "start" } else { "resume" }, "a"]);
        assert_eq!(home.inspect("a")["served_by"], "saved");
        seen = check_goes_on(&home, &seen);
        check_clock(&home);
    }
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]), boot);
    assert_eq!(home.ok(&["exec", "a", "--", "printenv", "KEPT"]), "yes");

    // The disk is what it was for the guest, also for one that boots from it.
    home.ok(&["exec", "a", "--", "sh", "-c", "echo kept > /srv/file; sync"]);
    home.ok(&["hibernate", "a"]);
    home.ok(&["stop", "a"]);
    assert_eq!(home.state("a"), "stopped");
    home.ok(&["start", "a"]);
    assert_eq!(home.inspect("a")["served_by"], "boot");
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/srv/file"]), "kept");
    home.ok(&["destroy", "a", "--yes"]);
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_machine_that_booted_hibernates_as_well_and_boots_again_after_a_stop() {
    let home = Home::new("saved-booted");
    home.ok(&["create", "--name", "a", "--cold"]);
    let mut seen = start_program(&home);
    for _ in 0..2 {
        home.ok(&["hibernate", "a"]);
        home.kill_server();
        home.ok(&["resume", "a"]);
        seen = check_goes_on(&home, &seen);
    }
    home.ok(&["stop", "a"]);
    home.ok(&["start", "a"]);
    home.ok(&["exec", "a", "--", "test", "-e", "/var/tmp/kept"]);
    home.ok(&["destroy", "a", "--yes"]);
}

#[test]
fn hooks_hear_of_a_resume_and_chance_is_another() {
    let home = Home::new("saved-hooks");
    home.ok(&["create", "--name", "a"]);
    let hook = "mkdir -p /etc/machine/resume.d; printf '#!/bin/sh\\necho $MACHINE_ORIGIN $MACHINE_GENERATION >> \
                /srv/heard\\n' > /etc/machine/resume.d/hear; chmod +x /etc/machine/resume.d/hear";
    home.ok(&["exec", "a", "--", "sh", "-c", hook]);
    home.ok(&["hibernate", "a"]);
    home.ok(&["resume", "a"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/srv/heard"]), "saved 2");
    home.ok(&["pause", "a"]);
    home.ok(&["resume", "a"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/srv/heard"]), "saved 2", "a pause is no restore");
    home.ok(&["destroy", "a", "--yes"]);
}

#[test]
fn what_cannot_be_is_refused_and_says_what_can() {
    let home = Home::new("saved-refused");
    home.ok(&["create", "--name", "a", "--no-start"]);
    for verb in ["pause", "hibernate"] {
        let told = home.refused(&[verb, "a"], 7);
        assert!(told.contains("stopped") && told.contains("machine start a"), "{told}");
    }
    home.ok(&["resume", "a"]);
    assert_eq!(home.state("a"), "running", "one that is stopped starts");
    home.ok(&["pause", "a"]);
    let told = home.refused(&["exec", "a", "--", "true"], 125);
    assert!(told.contains("paused") && told.contains("machine resume a"), "{told}");
    home.ok(&["resume", "a"]);
    // What a guest has not written yet is written at a stop, also where it was paused.
    home.ok(&["exec", "a", "--", "sh", "-c", "echo written > /srv/late"]);
    home.ok(&["pause", "a"]);
    home.ok(&["stop", "a"]);
    home.ok(&["start", "a"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/srv/late"]), "written");
    home.ok(&["hibernate", "a"]);
    let told = home.refused(&["pause", "a"], 7);
    assert!(told.contains("hibernated") && told.contains("machine resume a"), "{told}");
    home.refused(&["hibernate", "nobody"], 3);
    home.ok(&["destroy", "a", "--yes"]);
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
}
