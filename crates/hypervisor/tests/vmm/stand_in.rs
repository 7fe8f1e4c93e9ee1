//! What a supervisor does for its VMM, with a shell as the VMM.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use machine_hypervisor::launch_plan::PlannedFile;
use machine_hypervisor::process::{Asked, ExitStatus, LaunchError, SupervisorRecord, Vmm, this_program};

use crate::stage::{Stage, recorded, runs, size};

crate::promises! {
    the_end_of_a_vmm_is_recorded, a_signal_is_recorded_as_one, a_program_that_is_not_there_is_named,
    a_vmm_that_dies_at_once_leaves_its_last_words, kill_ends_both_and_can_be_repeated,
    a_vmm_that_ignores_signals_is_killed, a_vmm_does_not_outlive_its_supervisor,
    a_console_can_talk_for_ever, a_vmm_gets_nothing_of_ours, a_vmm_has_its_own_session,
    nothing_is_launched_twice, files_of_the_plan_are_there_and_private, a_failing_supervisor_is_reported,
    nothing_stays_behind_in_the_cgroups,
}

async fn the_end_of_a_vmm_is_recorded() {
    let stage = Stage::new();
    let vmm = stage.launch("echo hello; echo oops >&2; exit 7").await;
    let vmm = vmm.unwrap();
    let exit = recorded(vmm.exited().await.unwrap());
    assert_eq!((exit.status, exit.asked), (ExitStatus::Code(7), Asked::No));
    assert!(exit.at_unix_ms > 1_700_000_000_000);
    assert_eq!(Vmm::console_tail(&stage.run(), 100).unwrap(), b"hello\n");
    assert_eq!(Vmm::log_tail(&stage.run(), 100).unwrap(), b"oops\n");
}

async fn a_signal_is_recorded_as_one() {
    let stage = Stage::new();
    let vmm = stage.launch("kill -6 $$").await.unwrap();
    assert_eq!(recorded(vmm.exited().await.unwrap()).status, ExitStatus::Signal(6));
}

async fn a_program_that_is_not_there_is_named() {
    let stage = Stage::new();
    let error = Vmm::launch(&stage.plan("/nowhere/qemu", &[]), &this_program()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Died(_)), "{error:?}");
    assert!(error.to_string().contains("/nowhere/qemu: No such file"), "{error}");
}

async fn a_vmm_that_dies_at_once_leaves_its_last_words() {
    let stage = Stage::new();
    let vmm = stage.launch("echo no such machine >&2; exit 1").await.unwrap();
    let qemu = crate::qemu::driver_of_nothing();
    let error = vmm.control(&qemu, Duration::from_secs(5)).await.err().unwrap();
    let LaunchError::Died(died) = error else { panic!("{error:?}") };
    assert!(died.to_string().ends_with("died: exit code 1: no such machine"), "{died}");
}

async fn kill_ends_both_and_can_be_repeated() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let record = vmm.record().clone();
    assert!(runs(record.vmm.pid) && runs(record.supervisor.pid));
    for _ in 0..2 {
        let exit = recorded(vmm.kill().await.unwrap());
        assert_eq!((exit.status, exit.asked), (ExitStatus::Signal(9), Asked::Yes));
        assert!(!runs(record.vmm.pid) && !runs(record.supervisor.pid));
    }
}

async fn a_vmm_that_ignores_signals_is_killed() {
    let stage = Stage::new();
    let vmm = stage.launch("trap '' TERM INT HUP; while :; do sleep 0.1; done").await.unwrap();
    assert_eq!(recorded(vmm.kill().await.unwrap()).status, ExitStatus::Signal(9));
}

async fn a_vmm_does_not_outlive_its_supervisor() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let record = vmm.record().clone();
    signal(record.supervisor.pid, "-KILL").await;
    let ending = vmm.exited().await.unwrap();
    assert_eq!(ending, machine_hypervisor::process::Ending::SupervisorKilled);
    assert!(!runs(record.vmm.pid));
}

async fn a_console_can_talk_for_ever() {
    let stage = Stage::new();
    let shell = "echo first words; head -c 10485760 /dev/zero; echo last words";
    let vmm = stage.launch(shell).await.unwrap();
    recorded(vmm.exited().await.unwrap());
    let run = stage.run();
    let first = fs::read(run.path().join("console.first.log")).unwrap();
    assert!(first.starts_with(b"first words\n") && first.len() == 256 << 10);
    assert!(Vmm::console_tail(&run, 1000).unwrap().ends_with(b"last words\n"));
    assert!(Vmm::console_tail(&run, 10 << 20).unwrap().len() > 768 << 10);
    let names = ["console.first.log", "console.previous.log", "console.log"];
    let kept: u64 = names.iter().map(|name| size(&run.path().join(name))).sum();
    assert!(kept <= (256 << 10) + (1 << 20), "{kept}");
}

async fn a_vmm_gets_nothing_of_ours() {
    let stage = Stage::new();
    // Held open without close-on-exec, as a careless library would.
    let ours = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
    let vmm = stage.launch("ls /proc/self/fd | tr '\\n' ' '; env | grep -c PATH=/root; pwd").await.unwrap();
    recorded(vmm.exited().await.unwrap());
    let console = String::from_utf8(Vmm::console_tail(&stage.run(), 1000).unwrap()).unwrap();
    // 3 is the folder that `ls` reads.
    assert_eq!(console, format!("0 1 2 3 0\n{}\n", stage.run().path().display()));
}

async fn a_vmm_has_its_own_session() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", vmm.record().vmm.pid)).unwrap();
    let session: i32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().parse().unwrap();
    assert_eq!(session, vmm.record().supervisor.pid);
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", vmm.record().vmm.pid)).unwrap();
    assert_eq!(score, "500\n");
    vmm.kill().await.unwrap();
}

async fn nothing_is_launched_twice() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    assert!(matches!(stage.launch("true").await, Err(LaunchError::AlreadyRuns { .. })));
    vmm.kill().await.unwrap();
    let next = stage.launch("exit 5").await.unwrap();
    assert_eq!(recorded(next.exited().await.unwrap()).status, ExitStatus::Code(5));
}

async fn files_of_the_plan_are_there_and_private() {
    let stage = Stage::new();
    let mut plan = stage.plan("/bin/sh", &["-c", "cat settings"]);
    let path = stage.run().path().join("settings");
    plan.files.push(PlannedFile { path: path.clone(), contents: "a = 1\n".to_owned() });
    let vmm = Vmm::launch(&plan, &this_program()).await.unwrap();
    recorded(vmm.exited().await.unwrap());
    assert_eq!(Vmm::console_tail(&stage.run(), 100).unwrap(), b"a = 1\n");
    for file in [path, stage.run().plan_file(), stage.run().exit_file(), stage.run().path().join("console.log")] {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
}

async fn a_failing_supervisor_is_reported() {
    let stage = Stage::new();
    let plan = stage.plan("/bin/true", &[]);
    let error = Vmm::launch(&plan, "/bin/false".as_ref()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Supervisor { .. }), "{error:?}");
    let error = Vmm::launch(&plan, "/nowhere/machine".as_ref()).await.unwrap_err();
    assert!(matches!(error, LaunchError::Spawn { .. }), "{error:?}");
}

async fn nothing_stays_behind_in_the_cgroups() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let record = SupervisorRecord::read(&stage.run()).unwrap().unwrap();
    match &record.cgroup {
        Some(path) => assert!(path.is_dir()),
        None => assert!(record.notes.iter().any(|note| note.starts_with("no cgroup")), "{record:?}"),
    }
    vmm.kill().await.unwrap();
    assert!(record.cgroup.is_none_or(|path| !path.exists()));
}

async fn signal(pid: i32, signal: &str) {
    let sent = tokio::process::Command::new("kill").args([signal, &pid.to_string()]).status().await.unwrap();
    assert!(sent.success());
}
