//! A home of a test's own: its server, its machines, the templates that all tests share. When it is
//! dropped, everything in it is ended, and the test fails if anything was left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Beyond this a real machine under emulation, on a busy computer, is not slow but stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// See the module.
pub(crate) struct Home {
    folder: PathBuf,
    path: String,
}

/// How a command of ours ended, as text.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    /// An empty home with the shared templates.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the tests' folder can be written");
        let images = folder.join("images");
        fs::create_dir(&images).expect("the tests' folder can be written");
        for part in ["templates", "refs", "memory"] {
            let shared = shared_images().join(part);
            fs::create_dir_all(&shared).expect("the shared templates' folder can be written");
            std::os::unix::fs::symlink(shared, images.join(part)).expect("a link can be made");
        }
        let path = environment("PATH").expect("a test has a PATH");
        Self { folder, path }
    }

    /// The same, with `config.toml`.
    pub(crate) fn with_config(name: &str, config: &str) -> Self {
        let home = Self::new(name);
        fs::write(home.folder.join("config.toml"), config).expect("the tests' folder can be written");
        home
    }

    /// The same, with a script in the place of QEMU. It is called with QEMU's arguments; the real one is `$REAL`.
    /// It has no memory image, and keeps none for others.
    pub(crate) fn with_qemu(name: &str, script: &str) -> Self {
        let mut home = Self::with_config(name, "boot_timeout = 8\n");
        home.forget_memory_images();
        home.replace_qemu(script);
        home
    }

    /// Goes on with an empty folder of memory images, its own.
    pub(crate) fn forget_memory_images(&self) {
        let memory = self.folder.join("images/memory");
        fs::remove_file(&memory).expect("it was a link");
        fs::create_dir(&memory).expect("the tests' folder can be written");
    }

    /// Goes on with the same memory images under names of its own: what it removes, others keep.
    pub(crate) fn own_memory_images(&self) {
        let (memory, aside) = (self.folder.join("images/memory"), self.folder.join("images/aside"));
        let shared = fs::canonicalize(&memory).expect("it is a link");
        let copied = Command::new("cp").arg("-al").arg(shared).arg(&aside).status().expect("cp is installed");
        assert!(copied.success());
        fs::remove_file(&memory).expect("it was a link");
        fs::rename(&aside, &memory).expect("the tests' folder can be written");
    }

    /// Puts a script in the place of QEMU from the server's next start on.
    pub(crate) fn replace_qemu(&mut self, script: &str) {
        let bin = self.folder.join("bin");
        fs::create_dir_all(&bin).expect("the tests' folder can be written");
        let program = bin.join("qemu-system-x86_64");
        let text = format!("#!/bin/bash\nREAL={}\n{script}\n", real_qemu().display());
        fs::write(&program, text).expect("the tests' folder can be written");
        let mut mode = fs::metadata(&program).expect("it was written").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        fs::set_permissions(&program, mode).expect("it is ours");
        self.path = format!("{}:{}", bin.display(), self.path);
    }

    /// Only these folders are looked in for programs.
    pub(crate) fn set_path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    /// Where programs are looked for by somebody who types `machine`.
    pub(crate) fn path_with_program(&self) -> String {
        format!("{}:{}", program().parent().expect("it is in a folder").display(), self.path)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `machine` with these words, not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).current_dir(&self.folder).env_clear();
        command.env("MACHINE_HOME", &self.folder).env("PATH", &self.path).env("CI", "1");
        command
    }

    /// Runs `machine` with these words and no input.
    pub(crate) fn machine(&self, words: &[&str]) -> Ended {
        Ended::of(&self.command(words).stdin(Stdio::null()).output().expect("the program was built"))
    }

    /// Runs `machine` with these words and this input.
    pub(crate) fn feed(&self, words: &[&str], input: &[u8]) -> Output {
        use std::io::Write as _;
        let mut child = self.spawn(words);
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("it was started");
        // A command that does not read its input to the end closes it early.
        let _ = writer.join().expect("the writer does not panic");
        output
    }

    /// Starts `machine` with these words, everything piped.
    pub(crate) fn spawn(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program was built")
    }

    /// Runs `machine`, which must succeed, and gives its output without the last line break.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let ended = self.machine(words);
        assert_eq!(ended.code, 0, "machine {words:?} failed: {ended:#?}");
        ended.stdout.trim_end().to_owned()
    }

    /// Runs `machine`, which must fail with this exit code, and gives what it said.
    pub(crate) fn refused(&self, words: &[&str], code: i32) -> String {
        let ended = self.machine(words);
        assert_eq!(ended.code, code, "machine {words:?}: {ended:#?}");
        ended.stderr
    }

    /// A machine as the API shows it.
    pub(crate) fn inspect(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["inspect", name, "--json"])).expect("inspect prints JSON")
    }

    /// The state in which a machine rests.
    pub(crate) fn state(&self, name: &str) -> String {
        self.inspect(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The server's process, if it runs.
    pub(crate) fn server_pid(&self) -> Option<i32> {
        let pid = fs::read_to_string(self.folder.join("server.pid")).ok()?.trim().parse().ok()?;
        alive(pid).then_some(pid)
    }

    /// `kill -9` of the server.
    pub(crate) fn kill_server(&self) {
        let pid = self.server_pid().expect("a server runs");
        kill(pid);
        until("the server is gone", || !alive(pid));
    }

    /// The processes of this home: supervisors, VMMs, the server.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let id = self.folder.display().to_string();
        let short = self.short().map(|short| short.display().to_string()).unwrap_or_else(|| id.clone());
        processes().into_iter().filter(|(_, line)| line.contains(&id) || line.contains(&short)).collect()
    }

    /// The VMM of the only machine of this home.
    pub(crate) fn vmm_pid(&self) -> i32 {
        let found =
            self.processes().into_iter().find(|(_, line)| line.contains("qemu-system") && !line.contains("supervise"));
        found.expect("a VMM runs").0
    }

    /// The short folder of this home's sockets, told from the server's log-free listing of `/run`.
    fn short(&self) -> Option<PathBuf> {
        let bases = ["/run/machine".to_owned(), format!("/tmp/machine-{}", uid())];
        let entries = bases.iter().filter_map(|base| fs::read_dir(base).ok()).flatten().flatten();
        let ours = |folder: &PathBuf| fs::read_link(folder.join("m")).is_ok_and(|to| to.starts_with(&self.folder));
        entries.map(|entry| entry.path()).find(ours)
    }

    /// Every file and folder of machines in this home.
    pub(crate) fn machine_folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join("machines")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let stopped = self.machine(&["serve", "--stop", "--machines", "stop"]);
        if let Some(pid) = self.server_pid() {
            until_or("the server ends", Duration::from_secs(30), || !alive(pid));
        }
        let left = self.processes();
        left.iter().for_each(|(pid, _)| kill(*pid));
        let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        if let Some(short) = self.short() {
            let _ = fs::remove_dir_all(short);
        }
        let _ = fs::remove_dir_all(&self.folder);
        if std::thread::panicking() {
            eprintln!("server log:\n{log}");
        } else {
            assert!(left.is_empty(), "left behind: {left:#?}\n{stopped:#?}\n{log}");
        }
    }
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Waits for something to come true, and panics when it does not.
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(until_or(what, PATIENCE, holds), "waited in vain: {what}");
}

fn until_or(_what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > patience {
            return false;
        }
        pause();
    }
    true
}

#[expect(clippy::disallowed_methods, reason = "the one place where a test polls; every caller has a deadline")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Whether a process is there and not a zombie.
pub(crate) fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// `kill -9`.
pub(crate) fn kill(pid: i32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}

fn processes() -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let line = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).ok();
    let mine = i32::try_from(std::process::id()).unwrap_or_default();
    pids.filter(|pid| *pid != mine)
        .filter_map(|pid| Some((pid, String::from_utf8_lossy(&line(pid)?).replace('\0', " "))))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a test is told by its runner where things are")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").expect("Linux has /proc"))
}

pub(crate) fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..").join("debug").join("machine");
    assert!(target.exists(), "{} is not built: run `make test`", target.display());
    target
}

fn shared_images() -> PathBuf {
    let shared = environment("MACHINE_TEST_IMAGES").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-home/images"));
    assert!(shared.join("refs/base").exists(), "no template in {}: run `make test`", shared.display());
    fs::canonicalize(&shared).expect("it exists")
}

fn real_qemu() -> PathBuf {
    let path = environment("PATH").expect("a test has a PATH");
    let found =
        std::env::split_paths(&path).map(|folder| folder.join("qemu-system-x86_64")).find(|path| path.is_file());
    found.expect("QEMU is installed: run scripts/install-host")
}
