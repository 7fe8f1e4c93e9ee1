//! Machines that are made of a template's memory image: nobody's twin, and otherwise like any machine.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::home::{Home, alive, kill, until};

/// The shape that these tests share, so that one boot serves them all.
pub(crate) const SMALL: [&str; 4] = ["--cpus", "1", "--memory", "256M"];

/// Makes a small machine and says what served it.
pub(crate) fn create(home: &Home, name: &str, more: &[&str]) -> String {
    home.ok(&[&["create", "--name", name], SMALL.as_slice(), more].concat());
    home.inspect(name)["served_by"].as_str().unwrap_or_default().to_owned()
}

/// What a guest says of itself, by name of the fact.
const WHO: &str = "hostname; cat /etc/hostname /etc/machine-id /proc/sys/kernel/random/boot_id; \
    cat /sys/class/net/eth0/address; head -c 16 /dev/urandom | od -An -tx1; \
    python3 -c 'import random, uuid; print(random.random()); print(uuid.uuid4())'; \
    cat /proc/sys/kernel/random/uuid";

#[test]
fn machines_of_one_image_share_nothing_that_tells_who_they_are() {
    let home = Home::new("twins");
    let names = ["ann", "bob", "cem", "dua"];
    let mut said: Vec<Vec<String>> = Vec::new();
    for name in names {
        assert_eq!(create(&home, name, &[]), "image");
        let who = home.ok(&["exec", name, "--", "sh", "-c", WHO]);
        said.push(who.lines().map(str::to_owned).collect());
        assert_eq!(said.last().map(|lines| lines[0].as_str()), Some(name));
    }
    assert_eq!(said[0].len(), 9, "{said:#?}");
    for fact in 0..9 {
        let values: BTreeSet<&String> = said.iter().map(|lines| &lines[fact]).collect();
        assert_eq!(values.len(), names.len(), "the same in two machines: {values:?}");
    }
    // Nothing of one machine, nor of the image's own guest, is left in another.
    let hosts = home.ok(&["exec", "bob", "--", "cat", "/etc/hosts"]);
    assert_eq!(hosts.matches("127.0.1.1").count(), 1, "{hosts}");
    assert!(hosts.contains("127.0.1.1\tbob"), "{hosts}");
}

#[test]
fn a_restored_machine_knows_what_time_it_is() {
    let home = Home::new("clock");
    create(&home, "a", &[]);
    // A guest that restarts its clock, or goes on with the image's, is off by minutes or more.
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs_f64();
    let before = now();
    let guest: f64 = home.ok(&["exec", "a", "--", "date", "+%s.%N"]).parse().expect("a number");
    let after = now();
    assert!(before - 0.05 <= guest && guest <= after + 0.05, "{before} {guest} {after}");
}

#[test]
fn a_restored_machine_is_like_any_other() {
    let home = Home::new("restored");
    assert_eq!(create(&home, "a", &["--env", "GREETING=moin"]), "image");
    assert_eq!(home.ok(&["exec", "a", "--", "sh", "-c", "echo $GREETING"]), "moin");
    std::fs::write(home.folder().join("in"), vec![7; 3 << 20]).expect("it is ours");
    home.ok(&["cp", "in", "a:/workspace/in"]);
    home.ok(&["exec", "a", "--", "sh", "-c", "echo kept > /var/kept; sync"]);

    let boot = home.ok(&["exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    home.kill_server();
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]), boot);

    // The image goes; machines of it stay, also through stop and start.
    let image = home.ok(&["image", "ls", "-q"]);
    let image = image.lines().next().expect("there is one").to_owned();
    home.own_memory_images();
    home.ok(&["image", "rm", "--yes", &image]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/var/kept"]), "kept");
    home.ok(&["stop", "a"]);
    home.ok(&["start", "a"]);
    assert_eq!(home.inspect("a")["served_by"], "boot");
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/var/kept"]), "kept");
    home.ok(&["cp", "a:/workspace/in", "out"]);
    assert_eq!(std::fs::read(home.folder().join("out")).expect("it was copied"), vec![7; 3 << 20]);

    kill(home.vmm_pid());
    until("it is seen", || home.state("a") == "failed");
    home.ok(&["start", "a"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/var/kept"]), "kept");
}

#[test]
fn a_create_may_ask_for_a_boot_and_for_another_disk() {
    let home = Home::new("ways");
    assert_eq!(create(&home, "cold", &["--cold"]), "boot");
    let size = |name: &str| -> u64 {
        let said = home.ok(&["exec", name, "--", "df", "--output=size", "-BM", "/"]);
        said.lines().last().and_then(|line| line.trim().trim_end_matches('M').parse().ok()).expect("a size")
    };
    assert_eq!(create(&home, "usual", &[]), "image");
    assert!((9_000..=10_240).contains(&size("usual")), "{}", size("usual"));
    assert_eq!(create(&home, "large", &["--disk", "14G"]), "image");
    assert!((13_000..=14_336).contains(&size("large")), "{}", size("large"));
    assert_eq!(create(&home, "little", &["--disk", "2G"]), "image");
    assert!((1_700..=2_048).contains(&size("little")), "{}", size("little"));
    let told = home.refused(&["create", "--name", "tiny", "--disk", "8M"], 2);
    assert!(told.contains("disk too small"), "{told}");
}

#[test]
fn two_first_creates_at_once_make_one_image() {
    let home = Home::new("firsts");
    home.forget_memory_images();
    let words = |name: &'static str| [&["create", "--name", name], SMALL.as_slice()].concat();
    let both = [home.spawn(&words("a")), home.spawn(&words("b"))];
    for child in both {
        let output = child.wait_with_output().expect("it was started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(home.ok(&["image", "ls", "-q"]).lines().count(), 1);
    let made = ["a", "b"].map(|name| home.inspect(name)["stages"].to_string().matches("keep").count());
    assert_eq!(made.iter().sum::<usize>(), 1, "one of them made it: {made:?}");
    assert_eq!(home.inspect("a")["served_by"], "image");
    assert_eq!(home.inspect("b")["served_by"], "image");
}

/// What a template's author puts into the guest: a hook, and SSH host keys that everybody would share.
const WARM_UP: &str = "set -e
mkdir -p /etc/machine/resume.d /etc/ssh
printf '#!/bin/sh\\necho $MACHINE_NAME $MACHINE_ORIGIN >> /var/woken\\n' > /etc/machine/resume.d/10-note
printf '#!/bin/sh\\nexit 3\\n' > /etc/machine/resume.d/20-fails
chmod +x /etc/machine/resume.d/*
echo shared > /etc/ssh/ssh_host_rsa_key; echo shared > /etc/ssh/ssh_host_rsa_key.pub
echo warm > /dev/shm/warm";

#[test]
fn a_warmed_up_image_wakes_with_its_hooks_and_keys_of_its_own() {
    let home = Home::new("warm");
    home.forget_memory_images();
    let failing = home.refused(
        &[&["template", "build", "base", "--image", "--warm-up", "echo no >&2; exit 4"], SMALL.as_slice()].concat(),
        1,
    );
    assert!(failing.contains("warm-up") && failing.contains("no"), "{failing}");
    assert_eq!(home.ok(&["image", "ls", "-q"]), "");
    home.ok(&[&["template", "build", "base", "--image", "--warm-up", WARM_UP], SMALL.as_slice()].concat());
    let mut keys = BTreeSet::new();
    for name in ["a", "b"] {
        let told = home.machine(&[&["create", "--name", name], SMALL.as_slice()].concat());
        assert!(told.code == 0 && told.stderr.contains("20-fails"), "a failing hook is told: {told:?}");
        assert_eq!(home.ok(&["exec", name, "--", "cat", "/dev/shm/warm"]), "warm");
        assert_eq!(home.ok(&["exec", name, "--", "cat", "/var/woken"]), format!("{name} image"));
        assert_eq!(home.ok(&["exec", name, "--", "ls", "/etc/ssh"]), "ssh_host_ed25519_key\nssh_host_ed25519_key.pub");
        keys.insert(home.ok(&["exec", name, "--", "cat", "/etc/ssh/ssh_host_ed25519_key.pub"]));
    }
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("ssh-ed25519 ")), "{keys:?}");
}

#[test]
fn fifty_creates_at_once_all_end_well() {
    let home = Home::new("fifty");
    create(&home, "first", &[]);
    let names: Vec<String> = (0..50).map(|number| format!("m{number}")).collect();
    let clients: Vec<_> =
        names.iter().map(|name| home.spawn(&[&["create", "--name", name], SMALL.as_slice()].concat())).collect();
    for (name, client) in names.iter().zip(clients) {
        let output = client.wait_with_output().expect("it was started");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listed: serde_json::Value = serde_json::from_str(&home.ok(&["top", "--once", "--json"])).expect("JSON");
    let rows = listed.as_array().expect("a list");
    assert_eq!(rows.len(), 51);
    // Memory is shared: what a machine has for itself is little of what it has.
    for row in rows {
        let bytes = |field: &str| row[field].as_u64().unwrap_or_default();
        assert!(bytes("guest_shared_bytes") > 0 && bytes("guest_private_bytes") < 64 << 20, "{row}");
    }
    let words: Vec<&str> = ["destroy", "--yes", "first"].into_iter().chain(names.iter().map(String::as_str)).collect();
    home.ok(&words);
    assert!(home.processes().iter().all(|(pid, line)| !alive(*pid) || !line.contains("qemu-system")));
}
