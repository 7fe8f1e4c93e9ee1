//! Finding a VMM again after the server's restart, and never taking another process for it.

use std::fs;

use machine_hypervisor::process::{Asked, Ending, ExitStatus, Found, SupervisorRecord, Vmm, supervisors};

use crate::stage::{Stage, recorded, runs};

crate::promises! {
    an_empty_folder_has_no_vmm, a_vmm_outlives_its_handle_and_is_found_again, a_dead_vmm_yields_its_end,
    another_process_with_its_number_is_not_it, another_boot_is_another_world,
    a_vmm_without_supervisor_is_seen_off, a_torn_record_is_an_error, supervisors_are_found_by_their_home,
}

async fn an_empty_folder_has_no_vmm() {
    let stage = Stage::new();
    assert!(matches!(Vmm::adopt(&stage.run()).await.unwrap(), Found::Never));
}

async fn a_vmm_outlives_its_handle_and_is_found_again() {
    let stage = Stage::new();
    let first = stage.launch("exec sleep 1000").await.unwrap();
    let record = first.record().clone();
    drop(first);
    let Found::Alive(again) = Vmm::adopt(&stage.run()).await.unwrap() else { panic!("not found again") };
    assert_eq!(*again.record(), record);
    let (exited, killed) = tokio::join!(again.exited(), again.kill());
    assert_eq!(recorded(exited.unwrap()).asked, Asked::Yes);
    assert_eq!(recorded(killed.unwrap()).asked, Asked::Yes);
}

async fn a_dead_vmm_yields_its_end() {
    let stage = Stage::new();
    let vmm = stage.launch("exit 3").await.unwrap();
    vmm.exited().await.unwrap();
    let Found::Ended(ending) = Vmm::adopt(&stage.run()).await.unwrap() else { panic!("not ended") };
    assert_eq!(recorded(ending).status, ExitStatus::Code(3));
}

async fn another_process_with_its_number_is_not_it() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let truth = vmm.record().clone();
    let mut lie = truth.clone();
    lie.supervisor.started += 1;
    lie.vmm.started += 1;
    write(&stage, &lie);
    let Found::Ended(ending) = Vmm::adopt(&stage.run()).await.unwrap() else { panic!("took another for it") };
    assert_eq!(ending, Ending::SupervisorKilled);
    assert!(runs(truth.vmm.pid), "the other process was harmed");
    vmm.kill().await.unwrap();
}

async fn another_boot_is_another_world() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let truth = vmm.record().clone();
    write(&stage, &SupervisorRecord { boot: "another".to_owned(), ..truth.clone() });
    let Found::Ended(ending) = Vmm::adopt(&stage.run()).await.unwrap() else { panic!("took another for it") };
    assert_eq!(ending, Ending::HostRebooted);
    assert!(runs(truth.vmm.pid), "the other process was harmed");
    vmm.kill().await.unwrap();
}

async fn a_vmm_without_supervisor_is_seen_off() {
    let stage = Stage::new();
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let truth = vmm.record().clone();
    let mut orphaned = truth.clone();
    orphaned.supervisor.started += 1;
    write(&stage, &orphaned);
    let Found::Ended(_) = Vmm::adopt(&stage.run()).await.unwrap() else { panic!("adopted without supervisor") };
    assert!(!runs(truth.vmm.pid));
    vmm.kill().await.unwrap();
}

async fn a_torn_record_is_an_error() {
    let stage = Stage::new();
    fs::create_dir_all(stage.run().path()).unwrap();
    fs::write(stage.run().supervisor_file(), b"{\"machine\":").unwrap();
    assert!(Vmm::adopt(&stage.run()).await.is_err());
}

async fn supervisors_are_found_by_their_home() {
    let (stage, other) = (Stage::new(), Stage::new());
    let vmm = stage.launch("exec sleep 1000").await.unwrap();
    let elsewhere = other.launch("exec sleep 1000").await.unwrap();
    let found = supervisors(stage.home.path()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].process, &found[0].run), (vmm.record().supervisor, &stage.run()));
    fs::remove_dir_all(stage.run().path()).unwrap();
    for _ in 0..2 {
        found[0].end().await.unwrap();
    }
    assert!(!runs(vmm.record().vmm.pid) && runs(elsewhere.record().vmm.pid));
    assert!(supervisors(stage.home.path()).unwrap().is_empty());
    assert!(vmm.record().cgroup.as_ref().is_none_or(|path| !path.exists()), "its cgroup was left behind");
    elsewhere.kill().await.unwrap();
}

fn write(stage: &Stage, record: &SupervisorRecord) {
    fs::write(stage.run().supervisor_file(), serde_json::to_vec(record).unwrap()).unwrap();
}
