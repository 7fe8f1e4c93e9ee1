//! What a file means: every key of the contract, and every default.

use std::path::Path;
use std::time::Duration;

use machine_core::MiB;
use machine_core::policy::egress::Verdict;
use machine_machinefile::Origin;
use machine_machinefile::model::{
    AgentTool, Base, Containers, Isolation, MountMode, ProvisionAction, Restart, Root, RunAs, SecretSource,
};

use crate::stage::Stage;

const COMPLETE: &str = include_str!("../examples/complete.yaml");

#[test]
fn a_complete_file_is_read_whole() {
    let stage = Stage::new(COMPLETE);
    stage.write("scripts/setup.sh", "true\n");
    let reading = stage.read();
    assert_eq!(reading.report.render(), "");
    let file = reading.machinefile.unwrap();
    assert_eq!((file.name.as_str(), &file.base, file.root), ("blog", &Base::Debian12, Root::Ephemeral));
    assert_eq!((file.resources.cpus, file.resources.memory, file.resources.disk), (2, MiB(4096), MiB(20480)));
    assert_eq!(file.packages.apt, ["git", "nodejs"]);
    assert_eq!(file.packages.pip, ["ruff==0.5.0"]);
    assert_eq!(
        (file.containers, file.agents.as_slice()),
        (Containers::Docker, &[AgentTool::ClaudeCode, AgentTool::Codex][..])
    );
    assert_eq!((file.env["PORT"].as_str(), file.env["GREETING"].as_str()), ("3000", "hello world"));
    assert!(file.env_files[0].optional && file.env_files[0].path == Path::new(".env"));
    assert_eq!(file.secrets[1].from, SecretSource::Command("pass show signing".to_owned()));
    assert_eq!(file.mounts[0].exclude, ["node_modules"]);
    let ports: Vec<String> = file.ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["127.0.0.1:3000:3000/tcp", "127.0.0.1:18080:8080/tcp", "127.0.0.1:5353:5353/udp"]);
    assert_eq!((file.network.egress.otherwise, file.network.egress.allow.len()), (Verdict::Deny, 3));
    let ProvisionAction::File { mode, .. } = &file.provision[2].action else { panic!("a file") };
    assert_eq!((*mode, file.provision[1].run_as), (0o644, RunAs::Root));
    assert_eq!((file.services[0].restart, file.ready.len()), (Restart::OnFailure, 2));
    assert_eq!((file.timeouts.boot, file.ready[1].timeout), (Duration::from_secs(150), Duration::from_secs(60)));
}

#[test]
fn every_key_has_a_default() {
    let stage = Stage::new("version: 1\n");
    let file = stage.model();
    assert_eq!((file.resources.cpus, file.resources.memory, file.resources.disk), (2, MiB(4096), MiB(20480)));
    assert!(file.packages.apt.is_empty() && file.agents.is_empty() && file.ports.is_empty());
    assert_eq!((file.containers, file.isolation), (Containers::None, Isolation::Standard));
    let mount = &file.mounts[0];
    assert_eq!((mount.source.as_path(), mount.guest.as_str(), mount.mode), (stage.path(), "/workspace", MountMode::Rw));
    assert!(mount.guard && file.user.sudo && file.network.host_ca);
    assert_eq!(
        (file.user.name.as_str(), file.user.shell.as_str(), file.workdir.as_str()),
        ("dev", "/bin/bash", "/workspace")
    );
    assert!(file.user.uid >= 1, "{}", file.user.uid);
}

#[test]
fn every_value_says_where_it_came_from() {
    let file = Stage::new("version: 1\nresources:\n  cpus: 1\nports:\n  - 3000\n  - 4000\n").model();
    let line = |line| Origin::File { path: "Machinefile".to_owned(), line };
    assert_eq!(file.origins.of("resources.cpus"), line(3));
    assert_eq!(file.origins.of("ports[1]"), line(6));
    assert_eq!(file.origins.of("workdir"), Origin::Default);
    assert_eq!(file.origins.of("workdir").to_string(), "default");
}
