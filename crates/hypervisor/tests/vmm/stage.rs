//! A run folder, and launch plans whose VMM is a line of shell.

use std::path::{Path, PathBuf};

use machine_core::MachineId;
use machine_core::machine::Generation;
use machine_hypervisor::boot_plan::RunFolder;
use machine_hypervisor::launch_plan::{LaunchPlan, Wire};
use machine_hypervisor::process::{Ending, ExitRecord, LaunchError, Vmm, supervisors, this_program};

pub(crate) struct Stage {
    pub(crate) home: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn run(&self) -> RunFolder {
        RunFolder(self.home.path().join("m1"))
    }

    pub(crate) fn plan(&self, program: &str, arguments: &[&str]) -> LaunchPlan {
        // The cgroup is named after the machine, and other tests run beside us.
        let name = self.home.path().file_name().unwrap().to_str().unwrap();
        let letters = name.chars().rev().filter(char::is_ascii_alphanumeric).chain(std::iter::repeat('0'));
        let id: String = letters.take(20).collect::<String>().to_lowercase();
        LaunchPlan {
            machine: MachineId::try_from(format!("m{id}")).unwrap(),
            generation: Generation(3),
            program: PathBuf::from(program),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            wire: Wire::None,
            companions: Vec::new(),
            files: vec![],
            run: self.run(),
        }
    }

    pub(crate) async fn launch(&self, shell: &str) -> Result<Vmm, LaunchError> {
        Vmm::launch(&self.plan("/bin/sh", &["-c", shell]), &this_program()).await
    }
}

/// A promise that is not kept panics, and its VMMs would run on.
impl Drop for Stage {
    fn drop(&mut self) {
        for left in supervisors(self.home.path()).unwrap_or_default() {
            let pid = rustix::process::Pid::from_raw(left.process.pid).unwrap();
            // It may be ending already; its VMM goes with it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

pub(crate) fn recorded(ending: Ending) -> ExitRecord {
    match ending {
        Ending::Recorded(exit) => exit,
        other => panic!("no record of the end: {other:?}"),
    }
}

/// Whether this process runs; a dead one that nobody took note of does not.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Asks again until it is so.
pub(crate) async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

pub(crate) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.len())
}
