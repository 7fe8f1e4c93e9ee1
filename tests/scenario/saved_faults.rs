//! What goes wrong while memory is saved and laid: nothing that was saved is lost, and what is damaged is not used.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::faults::{answers, may_mount};
use crate::home::{Home, until};
use crate::saved::{check_goes_on, start_program};

fn settled(home: &Home) -> String {
    let shown = || -> serde_json::Value {
        serde_json::from_str(&home.machine(&["inspect", "a", "--json"]).stdout).unwrap_or_default()
    };
    until("what was under way is settled", || shown()["state"].is_string() && shown()["phase"] == shown()["state"]);
    shown()["state"].as_str().unwrap_or_default().to_owned()
}

/// Kills the server a little later each time, all through the verb.
fn kill_server_during(home: &Home, verb: &str, files: &[&str]) -> String {
    let mut client = home.spawn(&[verb, "a"]);
    if let Some(file) = files.first() {
        let folder = home.machine_folders().remove(0);
        until(file, || folder.join(file).exists() || client.try_wait().is_ok_and(|ended| ended.is_some()));
    }
    home.kill_server();
    let _ = client.kill();
    client.wait().expect("it was started");
    settled(home)
}

#[test]
fn a_server_killed_while_memory_is_saved_or_laid_loses_nothing() {
    let home = Home::new("saved-kill");
    home.ok(&["create", "--name", "a"]);
    let mut seen = start_program(&home);
    for file in ["saving", "saving/state", "saving/pages", "saved"] {
        let rests = kill_server_during(&home, "hibernate", &[file]);
        assert!(["running", "hibernated"].contains(&rests.as_str()), "{file}: {rests}");
        home.ok(&["resume", "a"]);
        seen = check_goes_on(&home, &seen);
    }
    for (launch, file) in ["root-%.qcow2", "run/memory.sock", "run/agent.sock", "top"].into_iter().enumerate() {
        home.ok(&["hibernate", "a"]);
        let generation = home.inspect("a")["generation"].as_u64().unwrap_or_default() + 1;
        let file = file.replace('%', &generation.to_string());
        let rests = kill_server_during(&home, "resume", &[&file]);
        assert!(["running", "hibernated"].contains(&rests.as_str()), "{launch} {file}: {rests}");
        home.ok(&["resume", "a"]);
        seen = check_goes_on(&home, &seen);
    }
    home.ok(&["destroy", "a", "--yes"]);
    assert_eq!(home.machine_folders(), Vec::<PathBuf>::new());
}

#[test]
fn a_vmm_killed_while_its_memory_is_laid_is_replaced_by_what_was_saved() {
    let home = Home::new("saved-vmm");
    home.ok(&["create", "--name", "a"]);
    let seen = start_program(&home);
    home.ok(&["hibernate", "a"]);
    let mut client = home.spawn(&["resume", "a"]);
    until("a VMM runs", || home.processes().iter().any(|(_, line)| line.contains("qemu-system")));
    let vmms = home.processes().into_iter().filter(|(_, line)| line.contains("qemu-system"));
    vmms.for_each(|(pid, _)| crate::home::kill(pid));
    client.wait().expect("it was started");
    assert_eq!(settled(&home), "hibernated");
    home.ok(&["resume", "a"]);
    check_goes_on(&home, &seen);
    home.ok(&["destroy", "a", "--yes"]);
}

#[test]
fn a_supervisor_killed_while_memory_is_saved_fails_the_machine_and_leaves_no_half_of_it() {
    let home = Home::new("saved-supervisor");
    home.ok(&["create", "--name", "a"]);
    start_program(&home);
    let folder = home.machine_folders().remove(0);
    let mut client = home.spawn(&["hibernate", "a"]);
    until("it is being saved", || folder.join("saving/state").exists() || folder.join("saved").exists());
    let supervisors = home.processes().into_iter().filter(|(_, line)| line.contains("supervise"));
    supervisors.for_each(|(pid, _)| crate::home::kill(pid));
    client.wait().expect("it was started");
    let rests = settled(&home);
    match rests.as_str() {
        // It was saved before.
        "hibernated" => drop(home.ok(&["resume", "a"])),
        _ => {
            until("its end is seen", || home.state("a") == "failed");
            home.ok(&["start", "a"]);
            home.ok(&["exec", "a", "--", "test", "-e", "/var/tmp/program.py"]);
            assert!(!folder.join("saved").exists() && !folder.join("saving").exists());
        }
    }
    home.ok(&["destroy", "a", "--yes"]);
}

#[test]
fn a_flipped_bit_in_any_part_is_found_and_mended_it_goes_on() {
    let home = Home::new("saved-flip");
    home.ok(&["create", "--name", "a"]);
    let seen = start_program(&home);
    home.ok(&["hibernate", "a"]);
    let saved = home.machine_folders().remove(0).join("saved");
    for part in ["state", "pages", "manifest.json"] {
        let path = saved.join(part);
        let whole = fs::read(&path).expect(part);
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        fs::write(&path, &flipped).expect(part);
        let told = home.refused(&["resume", "a"], 1);
        assert!(told.contains(part.trim_end_matches(".json")) && told.contains("machine stop"), "{part}: {told}");
        assert_eq!(home.state("a"), "hibernated");
        fs::write(&path, &whole).expect(part);
    }
    home.ok(&["resume", "a"]);
    check_goes_on(&home, &seen);

    home.ok(&["hibernate", "a"]);
    fs::remove_file(saved.join("pages")).expect("it was saved");
    home.refused(&["resume", "a"], 1);
    // The memory is given up, and the disk is whole.
    home.ok(&["stop", "a"]);
    home.ok(&["start", "a"]);
    home.ok(&["exec", "a", "--", "test", "-e", "/var/tmp/program.py"]);
    home.ok(&["destroy", "a", "--yes"]);
}

/// A small disk under the machines, in a mount namespace that ends with the server.
#[test]
fn a_disk_without_room_for_the_memory_leaves_the_machine_running() {
    let home = Home::new("saved-full");
    if !may_mount() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let machines = home.folder().join("machines");
    fs::create_dir_all(&machines).expect("the tests' folder can be written");
    let script = format!("mount -t tmpfs -o size=64m tmpfs '{}' && exec \"$0\" serve", machines.display());
    let environment: Vec<_> =
        home.command(&[]).get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    let mut server = Command::new("unshare");
    server.args(["-m", "sh", "-c", &script]).arg(home.command(&[]).get_program()).envs(environment);
    let mut server = server.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("unshare is there");
    until("the server answers", || answers(&home));
    home.ok(&["create", "--name", "a"]);
    let seen = start_program(&home);
    let fill = "import os,time; held = os.urandom(80 << 20); open('/run/filled', 'w'); time.sleep(1000)";
    home.ok(&["exec", "--detach", "a", "--", "python3", "-c", fill]);
    home.ok(&["exec", "a", "--", "sh", "-c", "until [ -e /run/filled ]; do sleep 0.1; done"]);
    let told = home.refused(&["hibernate", "a"], 6);
    assert!(told.contains("full"), "{told}");
    assert_eq!(home.state("a"), "running");
    check_goes_on(&home, &seen);
    home.ok(&["destroy", "a", "--yes"]);
    home.ok(&["serve", "--stop"]);
    server.wait().expect("it was started");
}
