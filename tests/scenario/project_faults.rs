//! A project's machine when things go wrong around it: two who start it at once, one who gives up, provisioning that
//! never ends or fills the disk, a port that is taken, a host that sleeps, registries that do not answer. What can be
//! wrong with its folder is in `project_faults_folder`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::home::{Ended, Home, until};
use crate::projects::Project;

/// A `machine start` that is under way.
struct Start {
    child: Child,
    said: PathBuf,
}

impl Start {
    fn of(project: &Project<'_>, number: usize) -> Self {
        let said = project.home.folder().join(format!("said-{number}"));
        let asked = project.home.command(&["start"]);
        // Whoever runs the tests in the background ignores Ctrl-C; a person's shell does not.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(asked.get_program()).args(asked.get_args()).env_clear();
        command.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(&project.folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&said).expect("the tests' folder can be written"));
        Self { child: command.spawn().expect("coreutils are there"), said }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap_or_default()).into_owned()
    }

    fn goes_on(&mut self) -> bool {
        self.child.try_wait().expect("it was started").is_none()
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        until(what, || holds(&self.said()) || !self.goes_on());
        assert!(holds(&self.said()), "{what}: {}", self.said());
    }

    #[track_caller]
    fn until_it_says(&mut self, words: &str) {
        self.until(words, |said| said.contains(words));
    }

    /// Its exit code.
    fn ended(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        until("the command ends", || !self.goes_on());
        let status = self.child.wait().expect("it was started");
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    /// Ctrl-C, on which it ends soon.
    #[track_caller]
    fn interrupt(&mut self) {
        assert!(self.goes_on(), "it is over already: {}", self.said());
        let asked = Instant::now();
        signal("INT", i32::try_from(self.child.id()).expect("a pid is small"));
        assert_eq!(self.ended(), 130, "{}", self.said());
        assert!(asked.elapsed() < Duration::from_secs(30), "{:?}: {}", asked.elapsed(), self.said());
    }
}

fn signal(name: &str, pid: i32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

fn supervisors(home: &Home) -> usize {
    home.processes().iter().filter(|(_, line)| line.contains("supervise")).count()
}

/// Nothing is left of a start but what other starts use, too.
#[track_caller]
fn check_nothing_left(home: &Home) {
    assert_eq!(home.ok(&["ls", "-q"]), "");
    // An image that was begun for it may be finished first.
    until("nothing runs", || supervisors(home) == 0);
    until("no folder is left", || home.machine_folders().is_empty());
}

/// The project's machine is the only one, and runs.
#[track_caller]
fn check_one_runs(home: &Home, name: &str) {
    assert_eq!(home.ok(&["ls", "-o", "name"]), name);
    assert_eq!((home.state(name).as_str(), home.machine_folders().len()), ("running", 1));
    until("nothing else runs", || supervisors(home) == 1);
}

#[test]
fn two_starts_at_once_are_one_machine() {
    let home = Home::new("fault-twice");
    let project = Project::new(&home, "twice", "");
    let mut both = [Start::of(&project, 0), Start::of(&project, 1)];
    let codes: Vec<_> = both.iter_mut().map(Start::ended).collect();
    assert_eq!(codes, [0, 0], "{}\n{}", both[0].said(), both[1].said());
    check_one_runs(&home, "twice");
    assert_eq!(home.inspect("twice")["generation"], 1);
    project.ok(&["destroy", "--yes"]);
}

/// Each phase says a word and waits for a file; `round` is provisioned in the template.
fn phases(round: usize) -> String {
    let wait = |word: &str| format!("echo {word}; until test -e /workspace/{word}; do sleep 0.1; done");
    let (making, fitting) = (wait("making"), wait("fitting"));
    format!(
        "provision:\n  - {{run: \"{making}; echo {round}\"}}\n  - {{run: \"{fitting}\", when: start}}\n\
         ready: [{{run: test -e /workspace/ready, timeout: 120s}}]\n"
    )
}

#[test]
fn a_start_that_is_given_up_anywhere_is_finished_by_the_next() {
    let home = Home::new("fault-given-up");
    home.forget_memory_images();
    let project = Project::new(&home, "given-up", &phases(1));
    give_up_before_there_is_a_machine(&home, &project);
    // Another template, made by the one that is given up while it fits its machine out.
    let project = Project::new(&home, "given-up", &phases(2));
    let mut start = Start::of(&project, 5);
    start.until_it_says("provision fitting");
    start.interrupt();
    check_one_runs(&home, "given-up");
    let fitting = ["exec", "given-up", "--", "pgrep", "-f", "workspace/fitting"];
    until("what it ran in the guest is over", || home.machine(&fitting).code == 1);

    project.write("fitting", "");
    let mut start = Start::of(&project, 6);
    start.until_it_says("ready test -e");
    start.interrupt();
    check_one_runs(&home, "given-up");
    let launches = home.inspect("given-up")["generation"].clone();

    project.write("ready", "");
    project.ok(&["start"]);
    check_one_runs(&home, "given-up");
    assert_eq!(home.inspect("given-up")["generation"], launches, "it went on with the machine that was there");
    project.ok(&["destroy", "--yes"]);
    project.forget_templates();
}

fn give_up_before_there_is_a_machine(home: &Home, project: &Project<'_>) {
    let mut start = Start::of(project, 0);
    start.until_it_says("started the server");
    start.interrupt();
    check_nothing_left(home);

    let images = || fs::read_dir(home.folder().join("images/memory")).into_iter().flatten().count();
    let mut start = Start::of(project, 1);
    start.until("a memory image is being made", |_| images() > 0);
    start.interrupt();
    check_nothing_left(home);

    let mut start = Start::of(project, 2);
    start.until_it_says("provision making");
    let mut waiting = Start::of(project, 3);
    waiting.until_it_says("waiting for it");
    waiting.interrupt();
    assert!(start.goes_on(), "{}", start.said());
    start.interrupt();
    check_nothing_left(home);

    project.write("making", "");
    let mut start = Start::of(project, 4);
    start.until_it_says("power off");
    start.interrupt();
    check_nothing_left(home);
}

#[test]
fn a_step_that_hangs_is_named_again_and_again_and_ctrl_c_ends_it_although_it_does_not_listen() {
    let home = Home::new("fault-hangs");
    let file = "provision:\n  - {run: echo one}\n  - {script: hang.sh}\n";
    let project = Project::new(&home, "hangs", file);
    project.write("hang.sh", "trap '' HUP INT TERM\necho two\nwhile true; do sleep 1; done\n");
    let mut start = Start::of(&project, 0);
    start.until_it_says("still running: step 2 of 2, 30.");
    start.until_it_says("still running: step 2 of 2, 1 min");
    let said = start.said();
    let (mut lines, told) = (said.lines(), ["step 1 of 2: echo one", "one", "step 2 of 2: hang.sh", "two"]);
    let missing = told.iter().find(|told| !lines.any(|line| line == format!("provision {told}")));
    assert_eq!(missing, None, "in this order: {said}");
    start.interrupt();
    check_nothing_left(&home);
    assert_eq!(project.templates(), Vec::<String>::new());
}

#[test]
fn a_script_that_fills_the_disk_is_told_with_its_words_and_leaves_nothing() {
    let home = Home::new("fault-full");
    let file = "resources: {cpus: 1, memory: 512M, disk: 2G}\nprovision: [{script: fill.sh, as: root}]\n";
    let project = Project::new(&home, "full", "");
    project.write("Machinefile", &format!("version: 1\nbase: {{template: base}}\nname: full\n{file}"));
    // Places are taken without being written to: this computer's disk is not filled.
    project.write(
        "fill.sh",
        "n=0\nwhile fallocate -l 64M /srv/$n 2>/dev/null; do n=$((n+1)); done\nhead -c 80M /dev/zero > /srv/last\n",
    );
    let failed = project.machine(&["start"]);
    for words in ["provision[0] failed: fill.sh", "No space left on device"] {
        assert!(failed.code == 8 && failed.stderr.contains(words), "{words}: {failed:?}");
    }
    check_nothing_left(&home);
    assert_eq!(project.templates(), Vec::<String>::new());

    project.write("fill.sh", "echo small > /srv/small\n");
    project.ok(&["start"]);
    assert_eq!(project.ok(&["run", "ls", "/srv"]), "small");
    project.ok(&["destroy", "--yes"]);
    project.forget_templates();
}

#[test]
fn a_port_that_somebody_took_is_told_with_who_did() {
    let home = Home::new("fault-port");
    let holder = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let place = holder.local_addr().expect("it listens");
    let project = Project::new(&home, "port", &format!("ports: [\"{}:80\"]\n", place.port()));
    let check_refused = || {
        let refused = project.machine(&["start"]);
        assert_eq!(refused.code, 7, "{refused:?}");
        for words in [&format!("the port is taken: {place}"), &format!("pid {})", std::process::id()), "hint: "] {
            assert!(refused.stderr.contains(words), "{words}: {refused:?}");
        }
        assert_eq!(home.state("port"), "stopped");
        until("nothing runs", || supervisors(&home) == 0);
    };
    check_refused();
    drop(holder);
    project.ok(&["start"]);
    project.ok(&["stop"]);
    let holder = TcpListener::bind(place).expect("the machine gave it back");
    check_refused();
    drop(holder);
    project.ok(&["start"]);
    check_one_runs(&home, "port");
    project.ok(&["destroy", "--yes"]);
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs_f64()
}

#[test]
fn a_guest_whose_vmm_was_stopped_for_a_while_knows_the_time() {
    let home = Home::new("fault-clock");
    let project = Project::new(&home, "clock", "");
    project.ok(&["start"]);
    let is_right = || {
        let before = now();
        let guest: f64 = project.ok(&["run", "date", "+%s.%N"]).parse().expect("it is a number");
        before - 0.5 <= guest && guest <= now() + 0.5
    };
    assert!(is_right());
    let (vmm, stopped) = (home.vmm_pid(), Instant::now());
    signal("STOP", vmm);
    until("it was stopped for a while", || stopped.elapsed() >= Duration::from_secs(3));
    signal("CONT", vmm);
    let begun = Instant::now();
    until("the guest's clock is right", is_right);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    check_one_runs(&home, "clock");
    project.ok(&["destroy", "--yes"]);
}

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1/";

/// A start in a home of its own, whose clients of registries reach nobody.
fn check_unreachable(name: &str, packages: &str, says: &[&str]) {
    let home = Home::new(name);
    let project = Project::new(&home, name, "");
    project.write("Machinefile", &format!("version: 1\nname: {name}\npackages: {packages}\n"));
    let apt = home.folder().join("apt.conf");
    let settings = ["Dir::Etc::Main \"/dev/null\"", "Dir::Etc::Parts \"/dev/null\"", "Acquire::Retries \"0\""];
    let proxies = ["http", "https"].map(|way| format!("Acquire::{way}::Proxy \"{NOWHERE}\""));
    let lines = settings.map(str::to_owned).into_iter().chain(proxies);
    fs::write(&apt, lines.map(|line| format!("{line};\n")).collect::<String>()).expect("it is ours");
    let before = entries(&home.folder().join("images"));
    let begun = Instant::now();
    let mut start = home.command(&["start"]);
    start.current_dir(&project.folder).stdin(Stdio::null());
    start.env("APT_CONFIG", &apt).env("npm_config_registry", NOWHERE);
    let refused = Ended::of(&start.output().expect("the program was built"));
    assert!(refused.code != 0 && begun.elapsed() < Duration::from_secs(60), "{:?}: {refused:?}", begun.elapsed());
    for words in says {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    check_nothing_left(&home);
    assert_eq!(entries(&home.folder().join("images")), before);
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).expect("it is there").flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[test]
fn a_mirror_that_does_not_answer_is_told_soon_and_leaves_nothing() {
    check_unreachable("no-mirror", "{apt: [jq]}", &["apt-get cannot reach the package mirror", "`apt-get update`"]);
}

#[test]
fn a_registry_that_does_not_answer_is_told_soon_and_leaves_nothing() {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
    if !folders.iter().any(|folder| Path::new(folder).join("npm").exists()) {
        eprintln!("skipped: npm is not installed, run scripts/install-host recipes");
        return;
    }
    check_unreachable("no-registry", "{npm: [left-pad]}", &["npm cannot reach the package mirror", "`npm ping`"]);
}
