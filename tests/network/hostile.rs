//! A project installs a package that steals, plants and calls home; another is a stranger's. Everything that they try
//! fails: the host has its files, the project its hooks, and nobody out there heard anything.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::home::{Ended, Home};
use crate::reach::nobody_saw;
use crate::stage::{Stage, places};

crate::stories![
    a_package_that_steals_gets_nothing,
    a_machine_that_is_wiped_is_all_that_is_lost,
    a_strangers_file_does_nothing_before_it_is_trusted,
    a_strict_machine_has_nothing_of_the_host,
];

const SECRET: &str = "ssh key of the host";
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/hostile-package");
/// A port of the host at which something listens that is nobody's business.
const PRIVATE_PORT: u16 = 18_022;
/// Wipes a machine, whatever it holds.
const WIPE: &[&str] = &["run", "--user", "root", "sh", "-c", "rm -rf --no-preserve-root / 2>/dev/null"];

/// A person's home with a key in it, and two projects.
struct Person<'s> {
    home: &'s Home,
    folder: PathBuf,
}

impl<'s> Person<'s> {
    fn new(stage: &'s Stage, name: &str) -> Self {
        let folder = stage.home.folder().join(name);
        let person = Self { home: &stage.home, folder };
        person.write(".ssh/id_ed25519", SECRET);
        person.write("other/secret.txt", SECRET);
        person
    }

    fn key(&self) -> PathBuf {
        self.folder.join(".ssh/id_ed25519")
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("it is below the home")).expect("the tests' folder can be written");
        fs::write(&path, text).expect("the tests' folder can be written");
        path
    }

    /// A project with a repository, and what its Machinefile says beside the least.
    fn project(&self, more: &str) -> PathBuf {
        let least = "version: 1\nname: victim\nbase: {template: node}\nresources: {cpus: 1, memory: 1GiB}\n";
        let file = self.write("project/Machinefile", &format!("{least}{more}"));
        self.write("project/.git/HEAD", "ref: refs/heads/main\n");
        self.write("project/.git/config", "[core]\n\tbare = false\n");
        let hook = self.write("project/.git/hooks/pre-push.sample", "#!/bin/sh\n");
        fs::set_permissions(hook, fs::Permissions::from_mode(0o644)).expect("it is ours");
        self.write("project/src/main.js", "console.log('precious')\n");
        let project = file.parent().expect("it is in a folder").to_owned();
        let way_out = project.join("way-out");
        if !way_out.is_symlink() {
            symlink(self.key(), way_out).expect("a link can be made");
        }
        project
    }

    fn machine(&self, project: &Path, words: &[&str]) -> Ended {
        let mut command = self.home.command(words);
        command.current_dir(project).env("HOME", &self.folder).stdin(Stdio::null());
        Ended::of(&command.output().expect("the program was built"))
    }

    #[track_caller]
    fn ok(&self, project: &Path, words: &[&str]) -> String {
        let ended = self.machine(project, words);
        assert_eq!(ended.code, 0, "machine {words:?}: {ended:#?}");
        ended.stdout
    }
}

impl Drop for Person<'_> {
    fn drop(&mut self) {
        self.home.machine(&["destroy", "victim", "--yes"]);
    }
}

/// Everything below a folder: names, rights, contents, where links lead.
fn snapshot(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it can be read").flatten() {
            let (path, facts) = (entry.path(), entry.metadata().expect("it is there"));
            let content = if facts.is_symlink() {
                fs::read_link(&path).expect("it is a link").into_os_string().into_encoded_bytes()
            } else if facts.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).expect("it can be read")
            };
            all.push((path, facts.permissions().mode(), content));
        }
    }
    all.sort();
    all
}

/// What the package is told to be after: files of the host, and every place that a guest has no business at.
fn told(person: &Person<'_>, loot: &str) -> Vec<String> {
    let private = places::RESERVED.iter().flat_map(|address| [80, 443].map(|port| format!("{address}@{port}")));
    let private = private.chain(places::RESERVED_V6.iter().map(|address| format!("{address}@80")));
    let host = [places::HOST, places::HOST_V6, "10.0.2.2", "host.machine.internal"];
    let host = host.iter().map(|address| format!("{address}@{PRIVATE_PORT}"));
    // It knows how to connect: what is public it reaches.
    let addresses: Vec<String> = private.chain(host).chain([format!("{}@80", places::WWW)]).collect();
    let other = person.folder.join("other/secret.txt");
    vec![
        format!("LOOT=/workspace/{loot}"),
        "PROJECT=/workspace".to_owned(),
        format!("HOST_FILES=/workspace/package.json {} {}", person.key().display(), other.display()),
        "HOST_NAMES=id_ed25519 secret.txt".to_owned(),
        format!("ADDRESSES={}", addresses.join(" ")),
    ]
}

/// Runs a command that has the package in it, and gives what it got beyond what everybody may have.
fn stolen(person: &Person<'_>, project: &Path, words: &[&str], loot: &str) -> Map<String, Value> {
    let told = told(person, loot);
    let told: Vec<&str> = told.iter().flat_map(|variable| ["-e", variable]).collect();
    person.ok(project, &[&["run"], told.as_slice(), words].concat());
    let loot = fs::read_to_string(project.join(loot)).expect("the package wrote down what it got");
    let mut loot: Map<String, Value> = serde_json::from_str(&loot).expect("it is JSON");
    assert!(loot.len() > 30, "{loot:#?}");
    for control in ["read /workspace/package.json", &format!("reach {}@80", places::WWW)] {
        let got = loot.remove(control).is_some_and(|how| how.get("got").is_some());
        assert!(got, "the package does not know how to steal: {control}");
    }
    loot.into_iter().filter(|(_, how)| how.get("got").is_some()).collect()
}

fn a_package_that_steals_gets_nothing(stage: &Stage) {
    let person = Person::new(stage, "person");
    let project = person.project("mounts: [{host: ., guest: /workspace, exclude: [node_modules]}]\n");
    let copied = Command::new("cp").args(["-r", FIXTURE]).arg(project.join("evil")).status();
    assert!(copied.expect("cp is installed").success());
    let depends = r#"{"name": "victim", "private": true, "dependencies": {"hostile-package": "file:evil"}}"#;
    person.write("project/package.json", depends);
    let private = TcpListener::bind(("::", PRIVATE_PORT)).expect("the stage's ports are free");
    private.set_nonblocking(true).expect("it is a socket");
    person.ok(&project, &["start"]);
    let file = fs::read(project.join("Machinefile")).expect("it is there");
    let guarded = [".git", "src", ".machine"].map(|folder| snapshot(&project.join(folder)));
    let outside = [".ssh", "other"].map(|folder| snapshot(&person.folder.join(folder)));
    stage.world.take_sights();

    let install = ["--", "npm", "install", "--install-links", "--foreground-scripts", "--offline", "--no-audit"];
    let got = stolen(&person, &project, &install, "loot.json");
    assert!(got.is_empty(), "{got:#?}");
    // As root it writes to the guest's own root, as it may: the host sees nothing of it.
    let got = stolen(&person, &project, &["--user", "root", "--", "node", "evil/steal.js"], "loot-of-root.json");
    assert_eq!(got.keys().collect::<Vec<_>>(), ["write above the project"], "{got:#?}");

    let sights = stage.world.take_sights();
    let elsewhere = sights.iter().find(|sight| sight.service != "dns" && sight.at.ip().to_string() != places::WWW);
    assert_eq!(elsewhere, None, "somebody heard of it");
    assert!(private.accept().is_err(), "the host was reached");
    assert_eq!([".git", "src", ".machine"].map(|folder| snapshot(&project.join(folder))), guarded);
    assert_eq!([".ssh", "other"].map(|folder| snapshot(&person.folder.join(folder))), outside);
    assert_eq!(fs::read(project.join("Machinefile")).expect("it is there"), file);
    assert!(!project.join(".vscode").exists() && !person.folder.join("planted").exists());
}

fn a_machine_that_is_wiped_is_all_that_is_lost(stage: &Stage) {
    let person = Person::new(stage, "wiper");
    // With a copy of the project: not even that.
    let project = person.project("mounts: [{host: ., guest: /workspace, mode: copy}]\n");
    person.ok(&project, &["start"]);
    let before = snapshot(&person.folder);
    assert!(person.ok(&project, &["run", "cat", "src/main.js"]).contains("precious"));
    person.machine(&project, WIPE);
    assert_eq!(snapshot(&person.folder), before);
    person.ok(&project, &["reset", "--yes"]);
    assert!(person.ok(&project, &["run", "cat", "src/main.js"]).contains("precious"));
    person.ok(&project, &["destroy", "--yes"]);
    // With the project itself: that, but for what the host obeys, and nothing beside it.
    person.project("");
    person.ok(&project, &["start"]);
    let kept = |path: &str| snapshot(&person.folder.join(path));
    let (outside, hooks) = ([kept(".ssh"), kept("other")], kept("project/.git/hooks"));
    let file = fs::read(project.join("Machinefile")).expect("it is there");
    person.machine(&project, WIPE);
    assert_eq!([kept(".ssh"), kept("other")], outside);
    assert_eq!(kept("project/.git/hooks"), hooks);
    assert_eq!(fs::read(project.join("Machinefile")).expect("it is there"), file);
    assert!(!project.join("src/main.js").exists(), "it was shared, and wiped");
}

fn a_strangers_file_does_nothing_before_it_is_trusted(stage: &Stage) {
    let person = Person::new(stage, "trusting");
    let asks = "hooks: {pre_start: [touch hook-ran]}\n\
                secrets: [{name: KEY, from: \"cmd:touch command-ran; echo x\"}]\n\
                mounts: [{host: ., guest: /workspace}, {host: .., guest: /person}]\n";
    let project = person.project(asks);
    let ran = || [project.join("hook-ran").exists(), project.join("command-ran").exists()];
    for words in [&["start"][..], &["run", "true"], &["shell"], &["restart"], &["trust"]] {
        let ended = person.machine(&project, words);
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert_ne!(ended.code, 0, "{words:?}: {ended:#?}");
        for named in ["touch hook-ran", "touch command-ran; echo x", "or the home: .."] {
            assert!(words == ["restart"] || told.contains(named), "{words:?} does not name {named}: {ended:#?}");
        }
    }
    assert_eq!((ran(), person.ok(&project, &["ls", "-q"]).as_str()), ([false; 2], ""));
    person.ok(&project, &["trust", "--yes"]);
    assert_eq!(ran(), [false; 2], "trust alone runs nothing");
    person.ok(&project, &["start"]);
    assert_eq!(ran(), [true; 2]);
    assert_eq!(
        person.ok(&project, &["run", "cat", "/run/secrets/KEY", "/person/other/secret.txt"]),
        format!("x{SECRET}")
    );
    person.ok(&project, &["destroy", "--yes"]);
    person.project(&format!("{asks}labels: {{a: b}}\n"));
    assert!(person.machine(&project, &["start"]).stderr.contains("E090"), "a changed file is another");
    // What goes to the hypervisor as it stands is not to be had at all.
    person.project("hypervisor_options: {extra_args: [\"-drive\", \"file=/dev/sda\"]}\n");
    person.machine(&project, &["trust", "--yes"]);
    let refused = person.machine(&project, &["start"]);
    assert!(refused.code == 2 && refused.stderr.contains("E011"), "{refused:#?}");
    assert_eq!(person.ok(&stage.home.folder().join("trusting/other"), &["ls", "-q"]), "");
}

fn a_strict_machine_has_nothing_of_the_host(stage: &Stage) {
    let person = Person::new(stage, "strict");
    let listens = "services: [{name: web, run: python3 -m http.server 8000, user: root}]\n\
                   ready: [{port: 8000, timeout: 120s}]\nports: [\"18080:8000\"]\n";
    let project = person.project(&format!("isolation: strict\n{listens}"));
    person.ok(&project, &["start"]);
    stage.world.take_sights();
    stage.world.take_questions();
    let inspected = stage.home.inspect("victim");
    assert_eq!(inspected["mounts"].as_array().map_or(0, Vec::len), 0, "{inspected:#}");
    assert_eq!(inspected["network"]["egress"]["policy"], "deny", "{inspected:#}");
    let probe = format!(
        "! grep -E 'virtiofs|9p' /proc/mounts && ! curl -sS -m 5 http://{}/ && ! curl -sS -m 5 http://www.example.com/ \
         && ls -A /workspace",
        places::WWW
    );
    assert_eq!(person.ok(&project, &["run", "--workdir", "/", "sh", "-c", &probe]), "");
    nobody_saw(&stage.world);
    assert_eq!(stage.world.take_questions(), Vec::<String>::new());
    assert!(TcpStream::connect(("127.0.0.1", 18_080)).is_err(), "a port was forwarded");
    assert_eq!(person.ok(&project, &["ports", "-o", "name"]), "");
}
