//! What a supervisor does for the processes beside its VMM. They are this binary: see `companion_stand_in`.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use machine_hypervisor::launch_plan::{Companion, Holds, LaunchPlan, Wire};
use machine_hypervisor::process::{ExitStatus, Vmm, this_program};
use rustix::process::{Pid, Signal, kill_process};

use crate::companion_stand_in::{COMPANION, LIVES, VMM};
use crate::stage::{Stage, recorded, runs, size, until};

crate::promises! {
    a_companion_that_dies_is_replaced, a_companion_ends_with_its_vmm, a_killed_vmm_takes_its_companion_along,
    a_companion_does_not_outlive_its_supervisor, what_a_companion_says_is_bounded,
    a_companion_that_always_fails_is_started_ever_later, a_companion_gets_nothing_of_ours,
    the_wire_outlives_companions_and_loses_nothing, without_companions_nobody_is_at_the_wires_other_end,
    what_a_companion_puts_into_its_strongbox_its_next_life_finds,
}

const NAME: &str = "beside";

fn beside(stage: &Stage, what: &str, shell: &str) -> LaunchPlan {
    let arguments = vec![COMPANION.to_owned(), what.to_owned()];
    let companions = vec![Companion { name: NAME.to_owned(), arguments, holds: Holds::Wire }];
    LaunchPlan { companions, ..stage.plan("/bin/sh", &["-c", shell]) }
}

async fn launch(plan: &LaunchPlan) -> Vmm {
    Vmm::launch(plan, &this_program()).await.unwrap()
}

fn said(stage: &Stage) -> String {
    String::from_utf8(Vmm::companion_log_tail(&stage.run(), NAME, 10 << 20).unwrap()).unwrap()
}

/// The companions that said their process ids, in their order.
fn lives(stage: &Stage) -> Vec<i32> {
    said(stage).lines().filter_map(|line| line.strip_prefix("pid ")?.parse().ok()).collect()
}

async fn alive(stage: &Stage) -> i32 {
    until("a companion lives", || lives(stage).last().copied()).await
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

async fn a_companion_that_dies_is_replaced() {
    let stage = Stage::new();
    let vmm = launch(&beside(&stage, "alive", "exec sleep 1000")).await;
    let first = alive(&stage).await;
    kill(first);
    let second = until("another lives", || lives(&stage).get(1).copied()).await;
    assert!(first != second && runs(second) && !runs(first));
    assert!(said(&stage).contains(r#""ended":"signal: 9 (SIGKILL)""#), "{}", said(&stage));
    kill(second);
    until("a third lives", || lives(&stage).get(2).copied()).await;
    assert!(runs(vmm.record().vmm.pid));
    vmm.kill().await.unwrap();
}

async fn a_companion_ends_with_its_vmm() {
    let stage = Stage::new();
    let vmm = launch(&beside(&stage, "alive", "until [ -e end ]; do sleep 0.01; done; exit 4")).await;
    let companion = alive(&stage).await;
    fs::write(stage.run().path().join("end"), "").unwrap();
    assert_eq!(recorded(vmm.exited().await.unwrap()).status, ExitStatus::Code(4));
    assert!(!runs(companion));
}

async fn a_killed_vmm_takes_its_companion_along() {
    let stage = Stage::new();
    let vmm = launch(&beside(&stage, "alive", "exec sleep 1000")).await;
    let companion = alive(&stage).await;
    vmm.kill().await.unwrap();
    assert!(!runs(companion));
}

async fn a_companion_does_not_outlive_its_supervisor() {
    let stage = Stage::new();
    let vmm = launch(&beside(&stage, "alive", "exec sleep 1000")).await;
    let companion = alive(&stage).await;
    kill(vmm.record().supervisor.pid);
    vmm.exited().await.unwrap();
    until("it is gone", || (!runs(companion)).then_some(())).await;
}

async fn what_a_companion_says_is_bounded() {
    let stage = Stage::new();
    let vmm = launch(&beside(&stage, "talking", "exec sleep 1000")).await;
    until("it said all", || said(&stage).ends_with("last words\n").then_some(())).await;
    assert!(said(&stage).starts_with("first words\n"));
    let names = ["beside.first.log", "beside.previous.log", "beside.log"];
    let kept: u64 = names.iter().map(|name| size(&stage.run().path().join(name))).sum();
    assert!(kept <= (64 + 2 * 256) << 10, "{kept}");
    vmm.kill().await.unwrap();
}

async fn a_companion_that_always_fails_is_started_ever_later() {
    let stage = Stage::new();
    let begun = Instant::now();
    let vmm = launch(&beside(&stage, "dying", "exec sleep 1000")).await;
    let lived = || fs::read_to_string(stage.run().path().join(LIVES)).unwrap_or_default().lines().count();
    until("it was started five times", || (lived() >= 5).then_some(())).await;
    // At once, then after 100, 200 and 400 ms: never sooner, however fast this computer is.
    assert!(begun.elapsed() >= Duration::from_millis(700));
    assert!(runs(vmm.record().vmm.pid));
    recorded(vmm.kill().await.unwrap());
}

async fn a_companion_gets_nothing_of_ours() {
    let stage = Stage::new();
    let plan = LaunchPlan { wire: Wire::Packets, ..beside(&stage, "looking", "exec sleep 1000") };
    let vmm = launch(&plan).await;
    let line = until("it looked", || said(&stage).lines().next().map(str::to_owned)).await;
    // 3 is the wire, 4 the folder that is being read.
    let run = stage.run();
    assert_eq!(line, format!("fds [0, 1, 2, 3, 4] variables 0 score 300 in {}", run.path().display()));
    vmm.kill().await.unwrap();
}

async fn the_wire_outlives_companions_and_loses_nothing() {
    let stage = Stage::new();
    let us = std::env::current_exe().unwrap();
    let plan = LaunchPlan {
        program: us,
        arguments: vec![VMM.to_owned(), "3".to_owned()],
        wire: Wire::Packets,
        ..beside(&stage, "answering", "")
    };
    let vmm = launch(&plan).await;
    recorded(vmm.exited().await.unwrap());
    let console = String::from_utf8(Vmm::console_tail(&stage.run(), 1000).unwrap()).unwrap();
    let answers: Vec<(&str, &str)> = console.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(answers.iter().map(|(number, _)| *number).collect::<Vec<_>>(), ["0", "1", "2"], "{console}");
    assert_eq!(answers.iter().map(|(_, pid)| *pid).collect::<BTreeSet<_>>().len(), 3, "{console}");
}

async fn without_companions_nobody_is_at_the_wires_other_end() {
    let stage = Stage::new();
    let plan = stage.plan(std::env::current_exe().unwrap().to_str().unwrap(), &[VMM, "1"]);
    let vmm = launch(&LaunchPlan { wire: Wire::Packets, ..plan }).await;
    assert_eq!(recorded(vmm.exited().await.unwrap()).status, ExitStatus::Code(101));
    assert!(String::from_utf8_lossy(&Vmm::log_tail(&stage.run(), 1000).unwrap()).contains("Broken pipe"));
}

async fn what_a_companion_puts_into_its_strongbox_its_next_life_finds() {
    let stage = Stage::new();
    let mut plan = beside(&stage, "leaving", "exec sleep 1000");
    plan.companions.iter_mut().for_each(|companion| companion.holds = Holds::Strongbox);
    let vmm = launch(&plan).await;
    let found = || said(&stage).lines().filter_map(|line| Some(line.strip_prefix("found ")?.to_owned())).collect();
    let found: Vec<String> = until("it lived four times", || Some(found()).filter(|all: &Vec<_>| all.len() >= 4)).await;
    assert_eq!(found[..4], ["nothing", "1", "2", "3"].map(str::to_owned));
    vmm.kill().await.unwrap();
}
