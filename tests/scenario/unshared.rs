//! Folders on a host that refuses to share them: one whose filter of system calls, as many containers' does, gives the
//! server neither name spaces nor Landlock. The filter is real, and all that the server starts inherits it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::{Value, json};

use crate::home::{Ended, Home, until};
use crate::projects::Project;
use crate::roots::post;

const WHY: &str = "neither a root of our own";

/// Does it on a thread that is refused both, with all that it starts.
fn confined<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let refused = [libc::SYS_unshare, libc::SYS_landlock_create_ruleset].map(|call| (call, Vec::new()));
    let refusal = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let architecture = std::env::consts::ARCH.try_into().expect("it has filters");
    let filter = SeccompFilter::new(BTreeMap::from(refused), SeccompAction::Allow, refusal, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("it is a filter");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            seccompiler::apply_filter(&program).expect("this kernel has filters");
            work()
        });
        thread.join().expect("it does not panic")
    })
}

/// What a server is started in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Host {
    Refuses,
    Shares,
}

/// Another server goes on there.
fn move_to(host: Host, home: &Home) {
    if home.server_pid().is_some() {
        home.kill_server();
    }
    if host == Host::Refuses {
        let log = fs::File::create(home.folder().join("server.log")).expect("the tests' folder can be written");
        let mut command = home.command(&["serve"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = confined(move || command.spawn().expect("the program was built"));
        // It is waited for by whoever sees it end.
        std::thread::spawn(move || server.wait_with_output().map(drop));
        until("the server is there", || home.machine(&["version"]).stdout.contains("pid"));
    } else {
        home.ok(&["ls"]);
    }
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

/// By what means the project's mounts would be, and are.
fn means(project: &Project) -> Vec<String> {
    let plan = document(&project.ok(&["plan", "--json"]));
    let mounts = plan["mounts"].as_array().expect("it has some").iter();
    mounts.map(|mount| mount["by"].as_str().unwrap_or_default().to_owned()).collect()
}

fn is_shared(home: &Home) -> bool {
    home.processes().iter().any(|(_, line)| line.contains("share0.json"))
}

#[test]
fn what_cannot_be_shared_is_copied_and_comes_back_also_after_the_host_has_changed() {
    let home = Home::new("unshared");
    let mounts = "mounts: [{host: ., guest: /workspace, exclude: [own]}, {host: data, guest: /data, mode: ro, exclude: [mine]}]\n";
    let project = Project::new(&home, "unshared", mounts);
    project.write("src/kept.txt", "kept\n");
    project.write("data/read.txt", "read\n");
    move_to(Host::Refuses, &home);
    assert_eq!(means(&project), ["copy", "copy"]);
    let plan = project.ok(&["plan"]);
    assert!(plan.contains("by copy") && plan.contains(WHY) && plan.contains("machine sync back"), "{plan}");
    let started = project.machine(&["start"]);
    let told: Vec<&str> = started.stderr.lines().filter(|line| line.contains(WHY)).collect();
    assert!(started.code == 0 && told.len() == 1 && told[0].contains("machine sync back"), "{started:?}");
    assert!(!is_shared(&home));
    // It is worked on, apart from the host's.
    project.ok(&["run", "sh", "-c", "echo new > src/new.txt; echo changed > src/kept.txt; mkdir own; touch own/x"]);
    assert_eq!(fs::read_to_string(project.folder.join("src/kept.txt")).expect("it is there"), "kept\n");
    let read = "cat /data/read.txt && touch /data/mine/x && test $(stat -c %U /data/mine) = dev && ! touch /data/x";
    assert_eq!(project.ok(&["run", "sh", "-c", read]), "read");
    assert_ne!(project.machine(&["run", "--user", "root", "touch", "/data/x"]).code, 0, "it is read-only");

    // What the machine has is remembered with it, whatever this host would give another one.
    move_to(Host::Shares, &home);
    assert_eq!(means(&project), ["copy", "copy"], "it runs with copies");
    let refused = project.machine(&["stop"]);
    assert!(refused.code == 2 && refused.stderr.contains("giving a copy up"), "it would be lost: {refused:?}");
    let shown = document(&project.ok(&["sync", "back", "--dry-run", "--json"]));
    let folders = shown["folders"].as_array().expect("it has some");
    assert!(folders.len() == 1 && folders[0]["guest"] == "/workspace", "a read-only one does not come back: {shown}");
    project.ok(&["sync", "back", "--yes"]);
    assert_eq!(fs::read_to_string(project.folder.join("src/kept.txt")).expect("it is there"), "changed\n");
    assert!(project.folder.join("src/new.txt").exists() && !project.folder.join("own").exists());
    project.ok(&["stop"]);
    project.ok(&["destroy", "--yes"]);
}

#[test]
fn a_project_follows_its_host_at_the_next_start_where_nothing_is_lost_by_it() {
    let home = Home::new("unshared-moves");
    let project = Project::new(&home, "moves", "");
    project.write("src/kept.txt", "kept\n");
    let here = || fs::read_to_string(project.folder.join("src/kept.txt")).expect("it is there");
    move_to(Host::Refuses, &home);
    project.ok(&["start"]);
    project.ok(&["stop"]);
    // By its name it starts without copies: there is nothing to lose.
    home.ok(&["start", "moves"]);
    project.ok(&["stop"]);

    move_to(Host::Shares, &home);
    assert_eq!(means(&project), ["virtiofs"]);
    let started = project.machine(&["start"]);
    assert!(started.code == 0 && started.stderr.contains("made anew"), "{started:?}");
    assert!(is_shared(&home));
    project.ok(&["run", "sh", "-c", "echo shared > src/kept.txt"]);
    assert_eq!(here(), "shared\n");

    move_to(Host::Refuses, &home);
    assert_eq!(means(&project), ["virtiofs"], "the one that runs goes on with the host's");
    project.ok(&["restart"]);
    assert!(!is_shared(&home));
    project.ok(&["run", "sh", "-c", "echo copied > src/kept.txt"]);
    assert_eq!(here(), "shared\n");

    // One that keeps its disk keeps its means, and is not given up for them.
    project.ok(&["destroy", "--yes"]);
    move_to(Host::Shares, &home);
    project.write("Machinefile", "version: 1\nbase: {template: base}\nname: moves\nroot: persistent\n");
    project.ok(&["start"]);
    project.ok(&["stop"]);
    move_to(Host::Refuses, &home);
    let refused = project.machine(&["start"]);
    assert!(
        refused.code == 9 && refused.stderr.contains(WHY) && refused.stderr.contains("machine reset"),
        "{refused:?}"
    );
    project.ok(&["reset", "--yes"]);
    assert_eq!(project.ok(&["run", "cat", "src/kept.txt"]), "shared");
    project.ok(&["destroy", "--yes"]);
}

#[test]
fn a_template_is_provisioned_from_copies_and_keeps_none() {
    let home = Home::new("unshared-template");
    let mounts = "mounts: [{host: ., guest: /workspace}, {host: data, guest: /data, mode: ro}]\n";
    let line = "cat /workspace/old/gone.txt /data/gone.txt > /srv/had; echo made > /workspace/old/made.txt";
    let project = Project::new(&home, "provisioned", &format!("{mounts}provision: [{{run: \"{line}\", as: root}}]\n"));
    for path in ["old/gone.txt", "data/gone.txt", "data/-stays", "all/gone"] {
        project.write(path, "here\n");
    }
    move_to(Host::Refuses, &home);
    assert_eq!(project.ok(&["run", "cat", "/srv/had"]), "here\nhere");
    project.ok(&["stop", "--yes"]);
    for path in ["old/gone.txt", "data/gone.txt", "all/gone"] {
        fs::remove_file(project.folder.join(path)).expect("it is ours");
    }
    fs::remove_dir(project.folder.join("all")).expect("it is ours");
    project.ok(&["start"]);
    let seen = project.ok(&["run", "sh", "-c", "ls -d /workspace/* /workspace/old/* /data/*"]);
    let expected =
        ["/data/-stays", "/workspace/Machinefile", "/workspace/data", "/workspace/old", "/workspace/old/made.txt"];
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected);
    assert_eq!(project.ok(&["sync", "back", "--dry-run"]).trim(), "A  old/made.txt");
    project.ok(&["destroy", "--yes"]);
    project.forget_templates();
}

#[test]
fn a_machine_that_asks_for_folders_is_refused_at_once_and_doctor_says_why() {
    let home = Home::new("unshared-api");
    let folder = fs::canonicalize(home.folder()).expect("it is there").join("project");
    fs::create_dir(&folder).expect("the tests' folder can be written");
    let check = |command: &mut std::process::Command| Ended::of(&command.output().expect("the program was built"));
    let mut asked = home.command(&["share", "--check", &folder.display().to_string()]);
    assert_eq!(check(&mut asked).code, 0);
    let refused = confined(|| check(&mut asked));
    assert!(refused.code == 1 && refused.stderr.contains(WHY), "{refused:?}");

    let doctor = |ended: Ended| {
        let checks = document(&ended.stdout)["checks"].clone();
        let folders = checks.as_array().expect("it has some").iter().find(|check| check["name"] == "folders").cloned();
        folders.expect("it looked")
    };
    assert_eq!(doctor(check(&mut home.command(&["doctor", "--json"])))["verdict"], "ok");
    let told = doctor(confined(|| check(&mut home.command(&["doctor", "--json"]))));
    assert_eq!(told["verdict"], "warning");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains(WHY)), "{told}");

    move_to(Host::Refuses, &home);
    let version = document(&home.ok(&["version", "--json"]));
    assert_eq!(version["server"]["folders"]["shared"], "refused", "{version}");
    let wish = json!({"name": "a", "memory_mb": 256, "mounts": [{"source": folder, "target": "/workspace"}]});
    let refused = post(&home, "/v1/machines", &wish);
    let error = &refused["error"];
    assert_eq!((&error["code"], &error["reason"]), (&json!("host_not_capable"), &json!("no_sharing")), "{refused}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(WHY)), "{refused}");
    assert_eq!(home.ok(&["ls", "-q"]), "", "nothing is left of it");
}
