//! What can be wrong with a project's folder: deleted, not to be written to, on another file system, with names that
//! are no text, with more in it than anybody watches.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::faults::may_mount;
use crate::home::{Home, until};
use crate::projects::Project;

/// Something mounted for a test, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, words: &[&str]) -> Self {
        let status = Command::new("mount").args(words).arg(at).status();
        assert!(status.expect("mount is there").success(), "{words:?}");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).stderr(Stdio::null()).status();
    }
}

/// A folder that its owner cannot write to, until it is dropped.
enum ReadOnly {
    ByMode(PathBuf),
    ByMount(#[expect(dead_code, reason = "held")] Mounted),
}

impl ReadOnly {
    fn new(folder: &Path) -> Self {
        if !may_mount_here() {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).expect("it is ours");
            return Self::ByMode(folder.to_owned());
        }
        let path = folder.to_str().expect("the tests' folder is a text");
        let mounted = Mounted::new(folder, &["--bind", path]);
        let again = Command::new("mount").args(["-o", "remount,bind,ro", path]).status();
        assert!(again.expect("mount is there").success());
        Self::ByMount(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        match self {
            Self::ByMode(folder) => {
                let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
            }
            Self::ByMount(_) => {}
        }
    }
}

/// Root is not kept from writing by a mode, and may mount, unless it is a container's.
fn may_mount_here() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) && may_mount()
}

/// Runs a line in the guest, wherever the project's folder is.
fn in_guest(home: &Home, name: &str, line: &str) -> crate::home::Ended {
    home.machine(&["exec", "-w", "/", name, "--", "sh", "-c", line])
}

#[test]
fn a_folder_that_is_deleted_fails_in_the_guest_and_its_machine_goes_by_its_name() {
    let home = Home::new("fault-deleted");
    let project = Project::new(&home, "deleted", "");
    project.write("kept.txt", "kept");
    project.ok(&["start"]);
    assert_eq!(project.ok(&["run", "cat", "kept.txt"]), "kept");
    fs::remove_dir_all(&project.folder).expect("it is ours");
    let line = "cd /workspace; echo x > new && exit 1; until ! cat kept.txt; do :; done; ! mkdir sub && ls -A";
    let begun = Instant::now();
    let ended = in_guest(&home, "deleted", line);
    assert_eq!((ended.code, ended.stdout.replace("kept", "").as_str()), (0, ""), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(in_guest(&home, "deleted", "echo well").stdout, "well\n");
    home.ok(&["stop", "deleted"]);
    let refused = home.machine(&["start", "deleted"]);
    assert!(refused.code != 0 && refused.stderr.contains("projects/deleted"), "{refused:?}");
    assert_eq!(home.state("deleted"), "stopped");
    home.ok(&["destroy", "deleted", "--yes"]);
    assert_eq!(home.ok(&["ls", "-q"]), "");
}

#[test]
fn a_folder_that_may_not_be_written_to_is_read_in_the_guest() {
    let home = Home::new("fault-read-only");
    let project = Project::new(&home, "read-only", "");
    project.write("kept.txt", "kept");
    let kept = project.folder.join("kept.txt");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o444)).expect("it is ours");
    project.ok(&["start"]);
    project.ok(&["stop"]);
    let held = ReadOnly::new(&project.folder);
    project.ok(&["start"]);
    for user in ["dev", "root"] {
        let line = "cat kept.txt; echo x > new.txt || mkdir new || echo x >> kept.txt || rm -f kept.txt";
        let ended = project.machine(&["run", "--user", user, "sh", "-c", line]);
        let why = ["Read-only file system", "Permission denied"];
        assert!(ended.code != 0 && ended.stdout == "kept", "{user}: {ended:?}");
        assert!(why.iter().any(|why| ended.stderr.contains(why)), "{user}: {ended:?}");
    }
    project.ok(&["destroy", "--yes"]);
    drop(held);
    assert_eq!(fs::read_to_string(kept).expect("it is there"), "kept");

    // Without an id that could be kept, it is nobody's project.
    let project = Project::new(&home, "never-started", "");
    let held = ReadOnly::new(&project.folder);
    let refused = project.machine(&["start"]);
    assert!(refused.code != 0 && refused.stderr.contains("cannot keep the project's id in"), "{refused:?}");
    assert!(refused.stderr.contains("hint: "), "{refused:?}");
    assert_eq!(home.ok(&["ls", "-q"]), "");
    drop(held);
    assert_eq!(fs::read_dir(&project.folder).expect("it is there").count(), 1);
}

#[test]
fn a_folder_on_another_file_system_is_like_any_other() {
    if !may_mount_here() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let home = Home::new("fault-other");
    let place = home.folder().join("projects");
    fs::create_dir(&place).expect("the tests' folder can be written");
    let _held = Mounted::new(&place, &["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
    let project = Project::new(&home, "other", "");
    project.write("here.txt", "here");
    project.ok(&["start"]);
    assert_eq!(project.ok(&["run", "sh", "-c", "cat here.txt; echo there > there.txt"]), "here");
    assert_eq!(fs::read_to_string(project.folder.join("there.txt")).expect("the guest wrote it"), "there\n");
    project.write("here.txt", "changed");
    until("the guest sees it", || project.ok(&["run", "cat", "here.txt"]) == "changed");
    // It is full sooner than the guest's own disk, and says so.
    let full = project.machine(&["run", "sh", "-c", "head -c 16M /dev/zero > large; rm -f large; test -e large"]);
    assert!(full.code == 1 && full.stderr.contains("No space left on device"), "{full:?}");
    assert_eq!(project.ok(&["run", "sh", "-c", "echo again > there.txt; cat there.txt"]), "again");
    project.ok(&["destroy", "--yes"]);
}

/// Names that no text has, or no line.
const NAMES: [&[u8]; 5] = [b"a\nb", b"\xff\xfe.bin", b" -rf * '\"", b"\xc3\xbc.txt", b"caf\xe9\t\x1b[31m"];

fn odd(project: &Project<'_>, name: &[u8], ending: &str) -> PathBuf {
    project.folder.join("odd").join(OsStr::from_bytes(&[name, ending.as_bytes()].concat()))
}

/// Both sides have files of every name: what the guest found, it wrote beside, for us to see.
fn check_odd_names(name: &str, more: &str, brings_back: bool) {
    let home = Home::new(name);
    let project = Project::new(&home, name, more);
    project.write("odd/plain", "plain");
    for name in NAMES {
        fs::write(odd(&project, name, ""), name).expect("the tests' folder can be written");
    }
    project.ok(&["start"]);
    let copy = "for file in ./*; do cat \"$file\" > \"$file.back\" && rm \"$file\" || exit 1; done; ls | wc -l";
    let copied = project.machine_in("odd", &["run", "sh", "-c", copy]);
    assert_eq!(copied.code, 0, "{copied:?}");
    if brings_back {
        let back = project.ok(&["sync", "back", "--yes"]);
        assert!(back.contains("A  odd/a\\nb.back") && back.contains("D  odd/\\xff\\xfe.bin"), "{back}");
    }
    for name in NAMES {
        assert_eq!(fs::read(odd(&project, name, ".back")).expect("the guest made it"), name);
        assert!(!odd(&project, name, "").exists(), "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(fs::read_dir(project.folder.join("odd")).expect("it is there").count(), NAMES.len() + 1);
    project.ok(&["destroy", "--yes"]);
}

#[test]
fn names_that_are_no_text_are_the_same_on_both_sides() {
    check_odd_names("odd-shared", "", false);
}

#[test]
fn names_that_are_no_text_are_copied_in_and_out() {
    check_odd_names("odd-copied", "mounts: [{host: ., guest: /workspace, mode: copy}]\n", true);
}

/// More than are watched.
const FOLDERS: usize = 20_500;
const FILES_OF_EACH: usize = 5;

/// Many files, in a moment: all are empty.
fn fill(folder: &Path) {
    for number in 0..FOLDERS {
        let below = folder.join(format!("many/{}/{number}", number % 200));
        fs::create_dir_all(&below).expect("the tests' folder can be written");
        for file in 0..FILES_OF_EACH {
            fs::File::create(below.join(file.to_string())).expect("the tests' folder can be written");
        }
    }
}

#[test]
fn a_folder_with_a_hundred_thousand_files_is_no_slower_to_start_and_as_fresh() {
    let home = Home::new("fault-many");
    let place = home.folder().join("projects");
    fs::create_dir(&place).expect("the tests' folder can be written");
    // To make and remove so many takes a minute on a busy disk.
    let _held = may_mount_here().then(|| Mounted::new(&place, &["-t", "tmpfs", "tmpfs"]));
    let project = Project::new(&home, "many", "");
    let start = || {
        let begun = Instant::now();
        project.ok(&["start"]);
        begun.elapsed()
    };
    let without = start();
    project.ok(&["stop"]);
    fill(&project.folder);
    let with = start();
    assert!(with < without + Duration::from_secs(10), "{with:?} with its files, {without:?} without");
    for number in [0, FOLDERS / 2, FOLDERS - 1] {
        let file = format!("many/{}/{number}/3", number % 200);
        assert_eq!(project.ok(&["run", "wc", "-c", &file]), format!("0 {file}"));
        project.write(&file, "changed");
        until("the guest sees it", || project.ok(&["run", "cat", &file]) == "changed");
    }
    // Programs of the guest that watch are not told of changes in some of these folders: this is said.
    let warned = |words: &[&str]| project.ok(words).contains("too many folders");
    until("it is said", || warned(&["status"]));
    assert!(warned(&["inspect"]), "also to programs");
    project.ok(&["stop"]);
    assert!(!warned(&["status"]), "it does not run any more");
    project.ok(&["destroy", "--yes"]);
}
