//! What a developer does all day, in a folder with a Machinefile.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::home::{Ended, Home, until};

/// Small, and of the template that all stories share.
const LEAST: &str = "version: 1\nbase: {template: base}\nresources: {cpus: 1, memory: 512M}\n";

/// A folder with a Machinefile.
pub(crate) struct Project<'h> {
    pub(crate) home: &'h Home,
    pub(crate) folder: PathBuf,
}

impl<'h> Project<'h> {
    pub(crate) fn new(home: &'h Home, name: &str, more: &str) -> Self {
        let folder = home.folder().join("projects").join(name);
        let project = Self { home, folder };
        project.write("Machinefile", &format!("{LEAST}name: {name}\n{more}"));
        project
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the tests' folder can be written");
        fs::write(path, text).expect("the tests' folder can be written");
    }

    pub(crate) fn machine_in(&self, below: &str, words: &[&str]) -> Ended {
        let mut command = self.home.command(words);
        command.current_dir(self.folder.join(below)).stdin(Stdio::null());
        Ended::of(&command.output().expect("the program was built"))
    }

    pub(crate) fn machine(&self, words: &[&str]) -> Ended {
        self.machine_in("", words)
    }

    #[track_caller]
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let ended = self.machine(words);
        assert_eq!(ended.code, 0, "machine {words:?}: {ended:#?}");
        ended.stdout.trim_end().to_owned()
    }

    /// Who it is, once it was started.
    pub(crate) fn id(&self) -> String {
        let id = fs::read(self.folder.join(".machine/id")).expect("it was started");
        let id: serde_json::Value = serde_json::from_slice(&id).expect("it is JSON");
        id["id"].as_str().expect("it is a text").to_owned()
    }

    /// The templates of its own provisioning: p-ID-HASH.
    pub(crate) fn templates(&self) -> Vec<String> {
        let its = format!("p-{}-", self.id());
        let all = self.home.ok(&["template", "ls", "-o", "name"]);
        all.lines().filter(|name| name.starts_with(&its)).map(str::to_owned).collect()
    }

    /// Removes these: all tests share a folder of templates.
    pub(crate) fn forget_templates(&self) {
        for template in self.templates() {
            self.home.ok(&["template", "rm", "--yes", &template]);
        }
    }
}

/// What a web server of the guest answers here.
fn get(place: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(place).expect("the port leads there");
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn a_day_with_a_project() {
    let home = Home::new("project-day");
    let services = "services: [{name: web, run: python3 -m http.server 4310}]\nready: [{port: 4310, timeout: 120s}]\n";
    let mounts = "mounts: [{host: ., guest: /workspace, exclude: [own]}]\nenv: {COLOUR: blue}\n";
    let project = Project::new(&home, "day", &format!("{services}{mounts}"));
    project.write("src/main.txt", "hello\n");
    let told = project.machine(&[]);
    assert!(told.code == 0 && told.stdout.contains("machine start"), "{told:?}");
    project.ok(&["start"]);
    let launches = home.inspect("day")["generation"].clone();
    project.ok(&["start"]);
    assert_eq!(home.inspect("day")["generation"], launches, "it stays as it is");
    // The same folder, user, environment, exit code.
    let ended = project.machine_in("src", &["run", "sh", "-c", "pwd; id -un; echo $COLOUR; cat main.txt; exit 7"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (7, "/workspace/src\ndev\nblue\nhello\n"), "{ended:?}");
    project.ok(&["run", "sh", "-c", "echo made > made.txt; echo own > own/own.txt"]);
    let made = fs::metadata(project.folder.join("made.txt")).expect("the guest made it");
    let folder = fs::metadata(&project.folder).expect("it is there");
    assert_eq!((made.uid(), made.gid()), (folder.uid(), folder.gid()));
    assert!(!project.folder.join("own/own.txt").exists());
    until("the port is found", || project.ok(&["ports"]).contains("4310"));
    let ports: serde_json::Value = serde_json::from_str(&project.ok(&["ports", "--json"])).expect("it is JSON");
    let listen = ports[0]["listen"].as_str().expect("it has a place").to_owned();
    assert!(get(&listen, "/src/").contains("main.txt"));
    // The root is given up, the folder is not.
    project.ok(&["run", "--user", "root", "touch", "/srv/marker"]);
    project.ok(&["restart"]);
    assert_eq!(project.machine(&["run", "--user", "root", "test", "-e", "/srv/marker"]).code, 1);
    assert_eq!(project.ok(&["run", "cat", "made.txt"]), "made");
    assert!(project.ok(&["status"]).contains("web running"));
    project.ok(&["destroy", "--yes"]);
    project.ok(&["destroy", "--yes"]);
}

#[test]
fn what_this_computer_obeys_the_guest_cannot_change() {
    let home = Home::new("project-guard");
    let project = Project::new(&home, "guard", "");
    project.write(".git/config", "[core]\n");
    project.write(".git/hooks/pre-commit.sample", "#!/bin/sh\n");
    let secret = home.folder().join("secret");
    fs::write(&secret, "of the host").expect("the tests' folder can be written");
    symlink(&secret, project.folder.join("way-out")).expect("a link can be made");
    let file = fs::read(project.folder.join("Machinefile")).expect("it is there");
    for line in [
        "echo x > .git/hooks/pre-commit",
        "mv .git/hooks/pre-commit.sample .git/hooks/pre-commit",
        "echo x >> .git/config",
        "mv .git elsewhere",
        "rm -rf .git/hooks",
        "mkdir .vscode",
        "echo x >> Machinefile",
        "rm Machinefile",
        "ln .git/config other && echo x >> other",
        "cat way-out",
        "ls ../secret",
    ] {
        for user in ["dev", "root"] {
            let ended = project.machine(&["run", "--user", user, "sh", "-c", line]);
            assert_ne!(ended.code, 0, "{user}: {line}: {ended:?}");
        }
    }
    assert_eq!(fs::read_to_string(project.folder.join(".git/config")).expect("it is there"), "[core]\n");
    assert_eq!(fs::read(project.folder.join("Machinefile")).expect("it is there"), file);
    let hooks = fs::read_dir(project.folder.join(".git/hooks")).expect("it is there").count();
    assert_eq!(hooks, 1);
    project.ok(&["destroy", "--yes"]);
}

#[test]
fn an_edit_here_is_an_event_there() {
    let home = Home::new("project-watch");
    let project = Project::new(&home, "watch", "");
    project.write("src/a.txt", "1");
    let watcher = "import ctypes, os\nlibc = ctypes.CDLL(None)\nfd = libc.inotify_init()\n\
                   libc.inotify_add_watch(fd, b'/workspace/src', 0x2)\nopen('/tmp/watching', 'w')\n\
                   while b'a.txt' not in os.read(fd, 4096): pass\n\
                   open('/tmp/seen', 'w').write(open('/workspace/src/a.txt').read())\n";
    project.ok(&["start"]);
    let pid = project.ok(&["exec", "watch", "--detach", "--", "python3", "-c", watcher]);
    assert!(pid.parse::<u32>().is_ok(), "{pid}");
    until("the guest watches", || project.machine(&["run", "test", "-e", "/tmp/watching"]).code == 0);
    let before = fs::metadata(project.folder.join("src/a.txt")).expect("it is there").len();
    project.write("src/a.txt", "two");
    until("the guest sees it", || project.machine(&["run", "cat", "/tmp/seen"]).stdout == "two");
    assert_eq!((before, fs::read_to_string(project.folder.join("src/a.txt")).expect("it is there")), (1, "two".into()));
    project.ok(&["destroy", "--yes"]);
}

#[test]
fn a_copy_is_worked_on_and_comes_back() {
    let home = Home::new("project-copy");
    let project = Project::new(&home, "copy", "mounts: [{host: ., guest: /workspace, mode: copy}]\n");
    project.write("src/kept.txt", "kept\n");
    project.write("src/old.txt", "old\n");
    project.ok(&["run", "sh", "-c", "echo new > src/new.txt; rm src/old.txt; echo changed > src/kept.txt"]);
    assert_eq!(fs::read_to_string(project.folder.join("src/kept.txt")).expect("it is there"), "kept\n");
    let shown = project.ok(&["sync", "back", "--dry-run"]);
    for line in ["A  src/new.txt", "M  src/kept.txt", "D  src/old.txt"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert_eq!(project.machine(&["sync", "back"]).code, 2);
    project.ok(&["sync", "back", "--yes"]);
    assert_eq!(fs::read_to_string(project.folder.join("src/kept.txt")).expect("it is there"), "changed\n");
    assert!(project.folder.join("src/new.txt").exists() && !project.folder.join("src/old.txt").exists());
    project.ok(&["run", "touch", "src/later.txt"]);
    let refused = project.machine(&["stop"]);
    assert!(refused.code == 2 && refused.stderr.contains("--yes"), "it would be lost: {refused:?}");
    project.machine(&["run", "--user", "root", "sh", "-c", "rm -rf --no-preserve-root / 2>/dev/null"]);
    assert_eq!(fs::read_to_string(project.folder.join("src/kept.txt")).expect("it is there"), "changed\n");
    project.ok(&["reset", "--yes"]);
    assert_eq!(project.ok(&["run", "cat", "src/kept.txt"]), "changed");
    project.ok(&["destroy", "--yes"]);
}

#[test]
fn what_is_provisioned_once_is_kept_for_every_start() {
    let home = Home::new("project-provision");
    let provision = "provision:\n  - {run: \"echo once > /srv/once; date +%s%N >> /srv/once\", as: root}\n\
                     \x20 - {script: setup.sh, as: root}\n  - {file: /etc/motd, content: welcome, as: root}\n\
                     \x20 - {run: \"echo started >> /tmp/started\", when: start}\n";
    let project = Project::new(&home, "provision", provision);
    project.write("setup.sh", "#!/bin/sh\necho scripted > /srv/script\n");
    let first = project.ok(&["run", "cat", "/srv/once", "/srv/script", "/etc/motd", "/tmp/started"]);
    assert!(first.starts_with("once\n") && first.contains("scripted\nwelcome"), "{first}");
    project.ok(&["destroy", "--yes"]);
    let again = project.ok(&["run", "cat", "/srv/once", "/srv/script", "/etc/motd", "/tmp/started"]);
    assert_eq!(again, first, "it was provisioned again");
    project.ok(&["destroy", "--yes"]);
    project.write("setup.sh", "#!/bin/sh\necho this went wrong >&2\nexit 3\n");
    let failed = project.machine(&["start"]);
    assert!(
        failed.code != 0 && failed.stderr.contains("setup.sh") && failed.stderr.contains("this went wrong"),
        "{failed:?}"
    );
    assert_eq!(home.ok(&["ls", "-q"]), "", "nothing is left of what failed");
    project.forget_templates();
}

#[test]
fn a_file_is_checked_whole_and_a_copy_of_a_project_is_another() {
    let home = Home::new("project-file");
    let project = Project::new(&home, "file", "port: [1]\nmounts: [{host: ., guest: /etc}]\n");
    let ended = project.machine(&["start"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert_eq!(project.machine(&["run", "true"]).code, 125);
    for named in ["Machinefile:5:1: E002 unknown key 'port' (did you mean 'ports'?)", "E020"] {
        assert!(ended.stderr.contains(named), "{named}: {}", ended.stderr);
    }
    let project = Project::new(&home, "twin", "");
    project.ok(&["start"]);
    let copy = home.folder().join("projects/copy");
    assert!(std::process::Command::new("cp").arg("-a").arg(&project.folder).arg(&copy).status().expect("cp").success());
    let taken = Ended::of(&home.command(&["start"]).current_dir(&copy).stdin(Stdio::null()).output().expect("it runs"));
    assert!(taken.code == 7 && taken.stderr.contains("twin"), "one name is one machine: {taken:?}");
    let moved = home.folder().join("projects/moved");
    fs::rename(&project.folder, &moved).expect("it can be moved");
    let told = Ended::of(&home.command(&["status"]).current_dir(&moved).output().expect("it runs"));
    assert!(told.code == 0 && told.stdout.contains("running") && told.stderr.contains("was moved"), "{told:?}");
    let gone = home.command(&["destroy", "--yes"]).current_dir(Path::new(&moved)).output().expect("it runs");
    assert!(gone.status.success(), "{gone:?}");
}
