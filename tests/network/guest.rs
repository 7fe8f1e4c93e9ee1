//! A machine of one story: made with the rules that the story is about, gone when the story ends.

use crate::home::{Home, until};
use crate::stage::Stage;

/// What guests know how to do.
const PROBES: &str = include_str!("guest/probe.py");

/// See the module.
pub(crate) struct Guest<'s> {
    home: &'s Home,
    name: &'static str,
}

impl<'s> Guest<'s> {
    /// A machine of this name, created with these words of the command line, running.
    pub(crate) fn create(stage: &'s Stage, name: &'static str, words: &[&str]) -> Self {
        let home = &stage.home;
        home.ok(&[&["create", "--name", name], words].concat());
        stage.world.take_sights();
        stage.world.take_questions();
        Self { home, name }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs Python with the probes; gives what it printed, a line each.
    pub(crate) fn python(&self, program: &str) -> Vec<String> {
        let program = format!("{PROBES}\n{program}");
        let said = self.home.ok(&["exec", self.name, "--", "python3", "-c", &program]);
        said.lines().map(str::to_owned).collect()
    }

    /// Evaluates Python expressions, each of which must give what stands beside it.
    #[track_caller]
    pub(crate) fn expect(&self, expected: &[(&str, &str)]) {
        let program: Vec<String> = expected.iter().map(|(probe, _)| format!("say({probe})")).collect();
        let said = self.python(&program.join("\n"));
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        let told = expected.iter().zip(&said).map(|((probe, wanted), got)| (*probe, *wanted, got.as_str()));
        let wrong: Vec<_> = told.filter(|(_, wanted, got)| wanted != got).collect();
        assert!(wrong.is_empty(), "(probe, wanted, got): {wrong:#?}");
    }

    /// The same word for all.
    #[track_caller]
    pub(crate) fn expect_all(&self, word: &str, probes: &[&str]) {
        self.expect(&probes.iter().map(|probe| (*probe, word)).collect::<Vec<_>>());
    }

    /// Runs a command that must succeed.
    pub(crate) fn exec(&self, words: &[&str]) -> String {
        self.home.ok(&[&["exec", self.name, "--"], words].concat())
    }

    /// Starts Python that goes on while the story does; what it prints can be read from the child.
    pub(crate) fn start_python(&self, program: &str) -> Running {
        let program = format!("{PROBES}\n{program}");
        Running::new(self.home.spawn(&["exec", self.name, "--", "python3", "-c", &program]))
    }

    /// Starts Python that goes on whatever becomes of the server; waits until it has said this line.
    pub(crate) fn leave_python(&self, program: &str, line: &str) {
        let program = format!("{PROBES}\nsys.stdout = open('/tmp/said', 'w')\n{program}");
        // What was left before a stop may have said the same.
        self.home.ok(&["exec", self.name, "--", "rm", "-f", "/tmp/said"]);
        self.home.ok(&["exec", self.name, "--detach", "--", "python3", "-c", &program]);
        self.has_said(line);
    }

    /// Waits until what was left has said this line.
    pub(crate) fn has_said(&self, line: &str) {
        until(&format!("the guest says '{line}'"), || {
            let said = self.home.machine(&["exec", self.name, "--", "cat", "/tmp/said"]);
            said.stdout.lines().any(|said| said == line)
        });
    }

    /// `machine egress set` with these words.
    pub(crate) fn set_egress(&self, words: &[&str]) {
        self.home.ok(&[&["egress", "set", self.name], words].concat());
    }

    /// The process that is this machine's gateway.
    pub(crate) fn gateway(&self) -> i32 {
        self.find_gateway().expect("a running machine has a gateway")
    }

    /// The same, if there is one at the moment.
    pub(crate) fn find_gateway(&self) -> Option<i32> {
        let id = self.home.inspect(self.name)["id"].as_str().expect("a machine has an id").to_owned();
        let of_ours = |line: &str| line.split(' ').nth(1) == Some("gateway") && line.contains(&id);
        self.home.processes().into_iter().find(|(_, line)| of_ours(line)).map(|(pid, _)| pid)
    }

    /// What the gateway occupies, in MiB.
    pub(crate) fn gateway_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") / 1024
    }

    /// The lines of the log of refusals.
    pub(crate) fn refusals(&self) -> Vec<serde_json::Value> {
        let log = self.home.ok(&["logs", self.name, "--network", "--json"]);
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.home.machine(&["logs", self.name, "--network"]);
            eprintln!("{}: network log:\n{}{}", self.name, log.stdout, log.stderr);
        }
        self.home.machine(&["destroy", self.name, "--yes"]);
    }
}

/// A command that runs in a guest. It is ended when this is dropped.
pub(crate) struct Running {
    child: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn new(mut child: std::process::Child) -> Self {
        let stdout = child.stdout.take().expect("it is piped");
        Self { child, lines: std::io::BufRead::lines(std::io::BufReader::new(stdout)) }
    }

    /// Its next line; none when it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.next().and_then(Result::ok)
    }

    /// Waits for this line.
    #[track_caller]
    pub(crate) fn says(&mut self, wanted: &str) {
        assert_eq!(self.line().as_deref(), Some(wanted), "{}", self.last_words());
    }

    fn last_words(&mut self) -> String {
        use std::io::Read as _;
        let mut text = String::new();
        if let (Ok(Some(_)), Some(stderr)) = (self.child.try_wait(), &mut self.child.stderr) {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
