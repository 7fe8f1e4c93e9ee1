//! A machine with a folder of the host sleeps and wakes: its VMM and the folder's daemon end, and others go on with
//! its memory and its devices' state. Done here by hand, over the VMM's own control, with no server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_hypervisor::boot_plan::{RunFolder, Share};
use machine_hypervisor::driver::qemu::QemuControl;
use machine_hypervisor::driver::{Attached, Control, Port, Seen};
use machine_hypervisor::launch_plan::LaunchPlan;
use machine_hypervisor::process::{LaunchError, Vmm};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::home::{Home, PATIENCE, program, until};
use crate::mounts::kill_daemon;
use crate::roots::make;

/// A machine that sleeps.
struct Asleep {
    plan: LaunchPlan,
    state: PathBuf,
    seen: Vec<Seen>,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the host has threads")
}

/// The run folder of the only machine, by its short name.
fn run_folder(home: &Home) -> RunFolder {
    let (_, line) = home.processes().into_iter().find(|(_, line)| line.contains("share0.json")).expect("it is served");
    let plan = line.split_whitespace().find(|word| word.ends_with("share0.json")).expect("its plan is its argument");
    RunFolder(Path::new(plan).parent().expect("it is in a folder").to_owned())
}

/// Puts the only machine to sleep.
fn put_to_sleep(home: &Home) -> Asleep {
    let run = run_folder(home);
    home.kill_server();
    let state = home.folder().join("state");
    let _ = fs::remove_file(&state);
    let plan = fs::read(run.plan_file()).expect("it was launched by a plan");
    let plan = serde_json::from_slice(&plan).expect("a plan is JSON");
    let seen = runtime().block_on(async {
        let control = QemuControl::connect(&run.control_socket(), PATIENCE).await.expect("the VMM answers");
        control.pause().await.expect("it pauses");
        let seen = control.shares().await.expect("it says what it has");
        let began = Instant::now();
        control.save_state(&state).await.expect("it is saved");
        println!("saved in {:?}: {} KiB", began.elapsed(), fs::metadata(&state).expect("it was written").len() >> 10);
        control.quit().await.expect("it ends");
        seen
    });
    until("everything of it has ended", || home.processes().is_empty());
    Asleep { plan, state, seen }
}

impl Asleep {
    /// Says how long its state took to load, which is its folders', but for some milliseconds.
    fn wake(&self) -> Duration {
        self.try_to_wake().expect("it loads")
    }

    fn try_to_wake(&self) -> Result<Duration, LaunchError> {
        let mut plan = self.plan.clone();
        let from = plan.arguments.iter().position(|word| word == "-incoming").expect("it came from an image") + 1;
        "defer".clone_into(&mut plan.arguments[from]);
        runtime().block_on(async {
            let vmm = Vmm::launch(&plan, &program()).await.expect("it starts");
            let control = QemuControl::connect(&plan.run.control_socket(), PATIENCE).await.expect("the VMM answers");
            for (place, Seen { tag, port }) in self.seen.iter().cloned().enumerate() {
                let share = Share { tag, socket: plan.run.path().join(format!("share{place}.sock")) };
                let attached = control.attach(&share, Some(port), PATIENCE).await.expect("it is served");
                assert_eq!(attached, Attached::New);
            }
            let began = Instant::now();
            control.load(&self.state).await.expect("it begins to load");
            vmm.loaded(&control, PATIENCE).await?;
            let loaded = began.elapsed();
            control.resume().await.expect("it goes on");
            println!("loaded in {loaded:?}");
            Ok(loaded)
        })
    }

    /// What the folder's daemon said last.
    fn said(&self) -> String {
        let said = Vmm::companion_log_tail(&self.plan.run, "share0", 4096).expect("it has a log");
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// Runs a line in the guest, not in the folder.
fn guest(home: &Home, line: &str) -> String {
    home.ok(&["exec", "-w", "/", "a", "--", "sh", "-c", line])
}

/// Appends numbers to a file that it holds open, and looks for it, by a name relative to where it is.
const APPENDER: &str = r#"perl -e 'open F, ">>", "log" or die; select F; $| = 1;
while (++$i) { print "$i\n" or die $!; -e "log" or die "lost: $!"; select undef, undef, undef, 0.02 }'"#;

/// Reads the start of a file that it holds open, again and again, and writes down each answer that is new.
const READER: &str = r#"perl -e 'open F, "<", shift or die; $| = 1; my ($last, $read) = ("", "");
while (1) { sysseek F, 0, 0; my $now = defined(sysread F, $read, 9) ? $read : "$!";
print "$now\n" if $now ne $last; $last = $now; select undef, undef, undef, 0.02 }'"#;

/// Says so when a file was written to: 294 and 254 are inotify_init1 and inotify_add_watch, 2 is IN_MODIFY.
const WATCHER: &str = r#"perl -e '$| = 1; my $f = syscall 294, 0; my $place = "/workspace/changed";
syscall(254, $f, $place, 2) >= 0 or die; open I, "<&=", $f; print "watching\n"; sysread I, my $news, 4096; print "news\n"'"#;

/// Makes, writes, reads, lists, moves and removes files in the folder, and dies where something is not as it was told.
const MAKER: &str = r#"perl -e 'my $who = shift; chdir "/workspace" or die; while (1) { for my $n (1 .. 50) { my $f = "$who-$n";
open F, ">", $f or die "make: $!"; print F "x" x 5000; close F or die "close: $!"; -s $f == 5000 or die "size: $!";
open F, "<", $f or die "open: $!"; my $text = <F>; length $text == 5000 or die "read: $!"; close F;
rename $f, "$f.new" or die "move: $!"; unlink "$f.new" or die "remove: $!"; opendir D, "." or die "list: $!"; 1 while readdir D } }'"#;

fn count(folder: &Path) -> usize {
    fs::read_to_string(folder.join("deep/log")).unwrap_or_default().lines().count()
}

/// Begins a line in the guest's folder that goes on, and waits for its first word.
fn begin(home: &Home, line: &str, said: &str) {
    guest(home, &format!("cd /workspace; {line} > /tmp/{said} 2>&1 & until test -s /tmp/{said}; do :; done"));
}

/// What it said.
fn said(home: &Home, said: &str) -> String {
    guest(home, &format!("cat /tmp/{said}"))
}

/// A folder of the host, its files all `before`, in the only machine.
fn project(home: &Home, names: &[&str]) -> PathBuf {
    let folder = home.folder().join("project");
    fs::create_dir_all(folder.join("deep")).expect("it is ours");
    names.iter().for_each(|name| fs::write(folder.join(name), "before").expect("it is ours"));
    let folder = fs::canonicalize(&folder).expect("it is there");
    make(home, "a", &json!({"mounts": [{"source": folder, "target": "/workspace"}]}));
    folder
}

/// A hundred folders of a hundred files, of which the guest asks each.
fn many_files(home: &Home, folder: &Path) {
    for number in 0..10_000 {
        let below = folder.join("many").join((number % 100).to_string());
        fs::create_dir_all(&below).expect("it is ours");
        fs::write(below.join(number.to_string()), "").expect("it is ours");
    }
    assert_eq!(guest(home, "find /workspace/many -type f -empty | wc -l"), "10000");
}

#[test]
fn what_runs_in_a_folder_sleeps_with_its_machine_and_goes_on() {
    let home = Home::new("sleep");
    let readers = ["kept", "changed", "replaced", "unnamed"];
    let folder = project(&home, &readers);
    many_files(&home, &folder);
    readers.iter().for_each(|name| begin(&home, &format!("{READER} {name}"), name));
    begin(&home, WATCHER, "watcher");
    guest(&home, &format!("rm /workspace/unnamed; cd /workspace/deep; {APPENDER} > /tmp/appender 2>&1 &"));
    until("it writes", || count(&folder) > 5);
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("it is ours");
    for round in ["first", "second"] {
        let asleep = put_to_sleep(&home);
        let before = count(&folder);
        write("changed", round);
        fs::remove_file(folder.join("replaced")).expect("it is ours");
        write("replaced", round);
        write(round, "new");
        let daemon = asleep.wake();
        assert!(daemon < Duration::from_secs(5), "10,000 files are found again in {daemon:?}");
        until("it writes on", || count(&folder) > before + 5);
        let look = format!("cat /workspace/changed /workspace/replaced /workspace/{round}");
        until("what the host did is seen", || guest(&home, &look) == format!("{round}{round}new"));
        assert_eq!(guest(&home, "ls /workspace/many | wc -l; ls -d /workspace/u*; true"), "100");
    }
    assert_eq!(
        readers.map(|name| said(&home, name)),
        ["before", "before\nfirst\nsecond", "before\nStale file handle", "before\nStale file handle",]
    );
    assert_eq!(said(&home, "appender"), "");
    until("who watches in the guest knows", || said(&home, "watcher") == "watching\nnews");
    let log = fs::read_to_string(folder.join("deep/log")).expect("it is there");
    let numbers: Vec<usize> = log.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "nothing is lost, nothing is written twice");

    // One whose daemon is killed is mended as it was before.
    kill_daemon(&home);
    let looks = ["exec", "-w", "/", "a", "--", "cat", "/workspace/kept"];
    until("the folder is there again", || home.machine(&looks).stdout == "before");
    until("who had a file open is told", || said(&home, "kept").ends_with("Transport endpoint is not connected"));
}

#[test]
fn what_is_asked_of_a_folder_while_its_machine_falls_asleep_is_answered_when_it_wakes() {
    let home = Home::new("busy");
    let folder = project(&home, &[]);
    for who in ["one", "two", "three"] {
        guest(&home, &format!("{MAKER} {who} > /tmp/{who} 2>&1 &"));
    }
    let is_at_work = |round: &str| {
        let begun = format!("/workspace/deep/{round}");
        guest(
            &home,
            &format!(
                "touch {begun}; until test -n \"$(find /workspace -maxdepth 1 -newer {begun} -name '*-*')\"; do :; done"
            ),
        );
        assert_eq!(guest(&home, "cat /tmp/one /tmp/two /tmp/three; pgrep -c perl"), "3");
    };
    is_at_work("begun");
    for round in ["first", "second", "third"] {
        put_to_sleep(&home).wake();
        is_at_work(round);
    }
    // The same daemon may be stopped and go on, too.
    home.kill_server();
    let run = run_folder(&home);
    runtime().block_on(async {
        let control = QemuControl::connect(&run.control_socket(), PATIENCE).await.expect("the VMM answers");
        for _ in 0..50 {
            control.pause().await.expect("it pauses");
            control.resume().await.expect("it goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    is_at_work("paused");
    assert!(folder.join("deep/paused").exists());
}

#[test]
fn a_machine_whose_folder_cannot_be_as_it_was_does_not_wake_and_may_be_tried_again() {
    let home = Home::new("refused");
    let folder = project(&home, &["kept", "removed"]);
    begin(&home, &format!("{READER} kept"), "kept");
    guest(&home, &format!("cat /workspace/removed; cd /workspace/deep; {APPENDER} > /tmp/appender 2>&1 &"));
    until("it writes", || count(&folder) > 5);
    let mut asleep = put_to_sleep(&home);
    let state = fs::read(&asleep.state).expect("it was written");

    asleep.seen[0].port = Port(asleep.seen[0].port.0 + 1);
    let refused = asleep.try_to_wake().expect_err("its folder is elsewhere").to_string();
    println!("elsewhere: {refused}");
    assert!(refused.contains("load of migration failed"), "{refused}");
    asleep.seen[0].port = Port(asleep.seen[0].port.0 - 1);

    let version = b"\"version\":1";
    let at = state.windows(version.len()).position(|bytes| bytes == version).expect("the folder's part is text");
    let mut another = state.clone();
    another[at + version.len() - 1] = b'2';
    fs::write(&asleep.state, another).expect("it is ours");
    let refused = asleep.try_to_wake().expect_err("it is none of ours").to_string();
    println!("another version: {refused}");
    assert!(asleep.said().contains("it is of another version"), "{}", asleep.said());

    fs::write(&asleep.state, state).expect("it is ours");
    fs::remove_file(folder.join("removed")).expect("it is ours");
    let before = count(&folder);
    asleep.wake();
    until("it writes on", || count(&folder) > before + 5);
    assert!(
        asleep.said().contains("1 are gone, or others, or had no name: what it has open of them is stale: removed")
    );
    assert_eq!((said(&home, "kept"), said(&home, "appender")), ("before".to_owned(), String::new()));
}
