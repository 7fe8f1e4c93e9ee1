//! Folders of the host in a machine: seen by a restored guest and by one that booted, through stops and failures.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use crate::home::{Home, kill, until};
use crate::roots::make;

/// A folder of the host with a file in it, by its true name.
fn project(home: &Home) -> PathBuf {
    let folder = home.folder().join("project");
    fs::create_dir(&folder).expect("the tests' folder can be written");
    fs::write(folder.join("from-host"), "hello").expect("the tests' folder can be written");
    fs::canonicalize(folder).expect("it is there")
}

/// Runs a line in the guest, in the folder.
fn within(home: &Home, line: &str) -> String {
    home.ok(&["exec", "-w", "/workspace", "a", "--", "sh", "-c", &format!("mountpoint -q /workspace && {line}")])
}

/// What the guest writes the host sees, and the other way.
fn both_see_the_same(home: &Home, folder: &std::path::Path, round: &str) {
    fs::write(folder.join(round), format!("host {round}")).expect("it is ours");
    assert_eq!(
        within(home, &format!("cat from-host {round}; echo guest > {round}.guest")),
        format!("hellohost {round}")
    );
    assert_eq!(fs::read_to_string(folder.join(format!("{round}.guest"))).expect("the guest wrote it"), "guest\n");
}

#[test]
fn a_machine_sees_its_folder_from_every_start_on() {
    let home = Home::new("mounts");
    home.own_memory_images();
    let folder = project(&home);
    let mounts = json!({"mounts": [{"source": folder, "target": "/workspace"}]});
    assert_eq!(make(&home, "a", &mounts), "image");
    both_see_the_same(&home, &folder, "restored");
    let usage: serde_json::Value = serde_json::from_str(&home.ok(&["top", "--once", "--json"])).expect("JSON");
    let bytes = |field: &str| usage[0][field].as_u64().unwrap_or_default();
    assert!(bytes("guest_private_bytes") > 8 << 20 && bytes("guest_shared_bytes") == 0, "{usage}");
    assert!(bytes("private_bytes") > bytes("guest_private_bytes"), "{usage}");

    // Another server finds it as it is.
    home.kill_server();
    both_see_the_same(&home, &folder, "next-server");
    let own = home.machine_folders()[0].join("image/own-ram");
    assert!(own.exists(), "its memory is its own");
    home.ok(&["stop", "a"]);
    assert!(!own.exists(), "and gone when it is off");
    home.ok(&["start", "a"]);
    assert_eq!(home.inspect("a")["served_by"], "boot");
    both_see_the_same(&home, &folder, "booted");

    kill(home.vmm_pid());
    until("it is seen", || home.state("a") == "failed");
    let serves = |line: &str| line.contains("share0.json");
    until("nobody serves it", || !home.processes().iter().any(|(_, line)| serves(line)));
    home.ok(&["start", "a"]);
    both_see_the_same(&home, &folder, "after-a-failure");
    home.ok(&["destroy", "a", "--yes"]);
    assert!(folder.join("from-host").exists(), "the host's folder is the host's");
}

#[test]
fn the_next_machine_with_a_folder_finds_its_memory_made() {
    let home = Home::new("spare");
    home.forget_memory_images();
    let folder = project(&home);
    let made = json!({"root": "ephemeral", "mounts": [{"source": folder, "target": "/workspace"}]});
    make(&home, "a", &made);
    let spares = || -> Vec<PathBuf> {
        let images = fs::read_dir(home.folder().join("images/memory")).into_iter().flatten().flatten();
        let parts = images.filter_map(|image| fs::read_dir(image.path()).ok()).flatten().flatten();
        let is_ready = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("spare-") && !name.ends_with(".new")
        };
        parts.map(|part| part.path()).filter(is_ready).collect()
    };
    let inode = |path: &PathBuf| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("it is there"));
    until("a spare is made", || spares().len() == 1);
    let spare = inode(&spares()[0]);
    home.ok(&["stop", "a"]);
    home.ok(&["start", "a"]);
    assert_eq!(home.inspect("a")["served_by"], "image");
    assert_eq!(inode(&home.machine_folders()[0].join("image/own-ram")), spare, "it was taken, not copied");
    until("another is made", || spares().len() == 1);
    both_see_the_same(&home, &folder, "again");
}

#[test]
fn a_folder_that_is_gone_is_said_and_the_machine_is_as_it_was() {
    let home = Home::new("gone");
    let folder = project(&home);
    let mounts = json!({"mounts": [{"source": folder, "target": "/workspace"}]});
    make(&home, "a", &mounts);
    home.ok(&["stop", "a"]);
    fs::rename(&folder, home.folder().join("aside")).expect("it is ours");
    let told = home.machine(&["start", "a"]);
    assert!(told.code != 0 && told.stderr.contains(&folder.display().to_string()), "{told:?}");
    assert_eq!(home.state("a"), "stopped");
    fs::rename(home.folder().join("aside"), &folder).expect("it is ours");
    home.ok(&["start", "a"]);
    both_see_the_same(&home, &folder, "back");
}

/// The daemon that serves the only folder of the only machine.
fn daemon(home: &Home) -> Option<i32> {
    home.processes().into_iter().find(|(_, line)| line.contains("share0.json")).map(|(pid, _)| pid)
}

/// `kill -9` of the daemon; returns when there is another.
pub(crate) fn kill_daemon(home: &Home) {
    let killed = daemon(home).expect("it is served");
    kill(killed);
    until("it is started again", || daemon(home).is_some_and(|pid| pid != killed));
}

/// Reads a file that it holds open until that fails, and says how long after the last good read that was.
const READER: &str = r#"perl -e 'open F, "<", "/workspace/from-host" or die; $| = 1; print "reading\n"; my $good = time;
while (1) { sysseek F, 0, 0; defined sysread F, my $read, 5 or last; $good = time if $read eq "hello";
select undef, undef, undef, 0.02 } printf "%s after %d s\n", $!, time - $good'"#;

/// As it says it.
fn failed_in_time(said: &str) -> bool {
    let after = said.lines().find_map(|line| line.strip_prefix("Transport endpoint is not connected after "));
    after.and_then(|after| after.strip_suffix(" s")?.parse::<u32>().ok()).is_some_and(|seconds| seconds <= 5)
}

/// Waits until a line in the guest's folder succeeds.
fn until_there(home: &Home, folder: &std::path::Path, round: &str) {
    let looks = ["exec", "-w", "/workspace", "a", "--", "cat", "/workspace/from-host", "/workspace/own/kept"];
    until("the folder is there again", || home.machine(&looks).stdout == "hellokept");
    both_see_the_same(home, folder, round);
}

/// A line in the guest whose first word on its standard output has come.
fn begun(home: &Home, line: &str) -> (std::process::Child, BufReader<std::process::ChildStdout>) {
    let mut child = home.spawn(&["exec", "-w", "/", "a", "--", "sh", "-c", line]);
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut first = String::new();
    output.read_line(&mut first).expect("it says something");
    assert!(!first.is_empty(), "it began");
    (child, output)
}

#[test]
fn a_folder_whose_daemon_is_killed_fails_within_seconds_and_is_there_again_each_time() {
    let home = Home::new("daemon");
    let folder = project(&home);
    let mounts = json!({"mounts": [{"source": folder, "target": "/workspace", "exclude": ["own"]}]});
    make(&home, "a", &mounts);
    home.ok(&["exec", "a", "--", "sh", "-c", "printf kept > /workspace/own/kept"]);
    for round in ["first", "second", "third"] {
        let (mut child, output) = begun(&home, READER);
        let killed = Instant::now();
        kill_daemon(&home);
        let said = output.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n");
        assert!(failed_in_time(&said) && killed.elapsed().as_secs() <= 10, "{said} after {:?}", killed.elapsed());
        child.wait().expect("it was started");
        until_there(&home, &folder, round);
    }
    assert!(!folder.join("own/kept").exists(), "what is the guest's own stays there");

    // What the host changes is told again: 294 and 254 are inotify_init1 and inotify_add_watch, 2 is IN_MODIFY.
    let watch = r#"perl -e '$| = 1; my $f = syscall 294, 0; my $place = "/workspace/from-host";
        syscall(254, $f, $place, 2) >= 0 or die; open I, "<&=", $f; print "watching\n"; sysread I, my $news, 4096'"#;
    let (mut child, _output) = begun(&home, watch);
    until("who watches in the guest knows", || {
        fs::write(folder.join("from-host"), "changed").expect("it is ours");
        child.try_wait().expect("it was started").is_some()
    });
}

#[test]
fn a_folder_that_cannot_be_shown_again_is_a_warning_of_its_machine_until_it_is() {
    let home = Home::new("warned");
    let folder = project(&home);
    make(&home, "a", &json!({"mounts": [{"source": folder, "target": "/workspace"}]}));
    let warned = || home.ok(&["status", "a"]).contains("warning");
    assert!(!warned());
    fs::rename(&folder, home.folder().join("aside")).expect("it is ours");
    kill_daemon(&home);
    until("it is said", warned);
    let warning = home.inspect("a")["warnings"][0].clone();
    assert!(warning.as_str().is_some_and(|text| text.contains(&folder.display().to_string())), "{warning}");
    fs::rename(home.folder().join("aside"), &folder).expect("it is ours");
    until("it is over", || !warned());
    both_see_the_same(&home, &folder, "back");
}

#[test]
fn a_folder_whose_daemon_dies_while_there_is_no_server_fails_at_once_and_the_next_server_mends_it() {
    let home = Home::new("nobody");
    let folder = project(&home);
    let mounts = json!({"mounts": [{"source": folder, "target": "/workspace", "exclude": ["own"]}]});
    make(&home, "a", &mounts);
    let begin =
        format!("printf kept > /workspace/own/kept; {READER} > /tmp/said 2>&1 & until test -s /tmp/said; do :; done");
    home.ok(&["exec", "-w", "/", "a", "--", "sh", "-c", &begin]);
    home.kill_server();
    kill_daemon(&home);
    kill_daemon(&home);
    let said = || home.ok(&["exec", "-w", "/", "a", "--", "cat", "/tmp/said"]);
    until("it failed", || said().lines().count() > 1);
    assert!(failed_in_time(&said()), "{}", said());
    until_there(&home, &folder, "mended");
}
