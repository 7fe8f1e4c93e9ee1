//! What can go wrong with memory images: damaged parts, other circumstances, killed servers and VMMs.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::faults::{answers, may_mount};
use crate::home::{Home, kill, until};
use crate::images::{SMALL, create};

fn create_words(name: &str) -> Vec<&str> {
    [&["create", "--name", name], SMALL.as_slice()].concat()
}

/// The folders below this home's own memory images.
fn folders(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.folder().join("images/memory")).expect("the home has its own");
    entries.map(|entry| entry.expect("it can be read").path()).filter(|path| path.is_dir()).collect()
}

fn the_image(home: &Home) -> PathBuf {
    let folders = folders(home);
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

/// Whether nobody works on an image any more: the note of its check is the last thing written into its folder.
fn is_sealed(image: &Path) -> bool {
    image.join("verified").exists()
}

/// Flips one bit of an image's part, as a disk may. Its machines have names of the same file: the file is
/// copied first, so that only the image is damaged.
fn flip(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).expect("there is room");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let file = fs::File::options().read(true).write(true).open(&copy).expect("it is ours");
    let mut byte = [0];
    let place = file.metadata().expect("it is there").len() / 2;
    file.read_exact_at(&mut byte, place).expect("it has a middle");
    file.write_all_at(&[byte[0] ^ 16], place).expect("it can be written");
    fs::rename(&copy, path).expect("it is ours");
}

#[test]
fn a_damaged_image_is_told_and_made_anew() {
    let home = Home::new("damaged");
    home.forget_memory_images();
    create(&home, "first", &[]);
    for part in ["state", "manifest.json", "ram", "disk.qcow2"] {
        let image = the_image(&home);
        // Before that, whoever seals it may find the damage first, and remove it.
        until("the image is sealed", || is_sealed(&image));
        flip(&image.join(part));
        // Memory and disk are read at the first use after the host booted, which is now.
        fs::write(image.join("verified"), "another boot").expect("it is ours");
        let name = part.split('.').next().unwrap_or(part);
        let told = home.machine(&create_words(name));
        assert!(told.code == 0 && told.stderr.contains(&format!("damaged: {part}")), "{told:?}");
        assert_eq!(home.inspect(name)["served_by"], "image");
        assert_eq!(home.ok(&["exec", name, "--", "echo", "well"]), "well");
    }
    assert_eq!(home.ok(&["exec", "first", "--", "echo", "still"]), "still");
}

#[test]
fn an_image_of_another_qemu_is_not_used() {
    let mut home = Home::new("other-qemu");
    home.forget_memory_images();
    create(&home, "a", &[]);
    home.ok(&["serve", "--stop"]);
    // Runs are the real one's; questions get another version for an answer.
    home.replace_qemu(
        "case \"$*\" in *agent.sock*) exec \"$REAL\" \"$@\" ;; esac; exec \"$REAL\" \"$@\" > >(exec sed -u 's/\"micro\": [0-9]*/\"micro\": 99/')",
    );
    let listed = home.ok(&["image", "ls"]);
    assert!(listed.contains("stale") && listed.contains("version"), "{listed}");
    let told = home.machine(&create_words("b"));
    assert!(told.code == 0 && told.stderr.contains("does not fit"), "{told:?}");
    assert_eq!(home.inspect("b")["served_by"], "image");
    assert_eq!(folders(&home).len(), 2);
    home.ok(&["image", "prune", "--yes"]);
    assert_eq!(folders(&home).len(), 1);
    assert_eq!(home.ok(&["exec", "a", "--", "echo", "still"]), "still");
}

/// An image that is whole and does not run, by a QEMU that refuses to load it.
#[test]
fn an_image_that_does_not_run_ends_in_a_boot() {
    let mut home = Home::new("refuses");
    home.forget_memory_images();
    home.replace_qemu("case \"$*\" in *-incoming*) echo 'cannot load this' >&2; exit 1;; esac; exec \"$REAL\" \"$@\"");
    let told = home.machine(&create_words("a"));
    assert!(told.code == 0 && told.stderr.contains("does not run"), "{told:?}");
    assert_eq!(home.inspect("a")["served_by"], "boot");
    assert_eq!(home.ok(&["exec", "a", "--", "echo", "well"]), "well");
    assert_eq!(folders(&home), Vec::<PathBuf>::new());
}

/// Waits for a point on the way, kills the server there, and lets the next one settle what was under way.
fn kill_at(home: &Home, mut client: Child, what: &str, reached: impl FnMut() -> bool) {
    until(what, reached);
    home.kill_server();
    let _ = client.kill();
    client.wait().expect("it was started");
    until("what was under way is settled", || {
        let listed: serde_json::Value = serde_json::from_str(&home.ok(&["ls", "--json"])).unwrap_or_default();
        let items = listed.as_array().or_else(|| listed["items"].as_array()).cloned().unwrap_or_default();
        items.iter().all(|machine| machine["phase"] == machine["state"])
    });
}

/// No half image is there, and no VMM but those of machines on record.
fn check_clean(home: &Home) {
    let unfinished: Vec<_> =
        folders(home).into_iter().filter(|path| path.to_string_lossy().contains("unfinished")).collect();
    assert_eq!(unfinished, Vec::<PathBuf>::new());
    let vmms = home.processes().iter().filter(|(_, line)| line.contains("supervise")).count();
    let running = home.ok(&["ls", "-q"]).lines().filter(|name| home.state(name) == "running").count();
    assert_eq!(vmms, running, "{:#?}", home.processes());
    let known = home.ok(&["ls", "-q"]).lines().count();
    assert_eq!(home.machine_folders().len(), known);
}

#[test]
fn a_server_killed_while_an_image_is_made_leaves_no_half_of_it() {
    let home = Home::new("kill-baking");
    home.forget_memory_images();
    let part = |home: &Home, name: &str| folders(home).iter().any(|folder| folder.join(name).exists());
    let vmm = |home: &Home| {
        home.processes().iter().any(|(_, line)| line.contains("qemu-system") && !line.contains("supervise"))
    };
    kill_at(&home, home.spawn(&create_words("a")), "the builder boots", || vmm(&home));
    check_clean(&home);
    home.machine(&["destroy", "--yes", "a"]);
    // Whatever was settled may have made the image after all: the next point begins without.
    until("what was made is sealed", || folders(&home).iter().all(|image| is_sealed(image)));
    for folder in folders(&home) {
        fs::remove_dir_all(folder).expect("it is ours");
    }
    kill_at(&home, home.spawn(&create_words("b")), "the state is being kept", || part(&home, "state"));
    check_clean(&home);
    home.ok(&create_words("c"));
    assert_eq!(home.inspect("c")["served_by"], "image");
    check_clean(&home);
}

#[test]
fn a_server_killed_while_a_machine_is_restored_lands_it() {
    let home = Home::new("kill-restoring");
    create(&home, "first", &[]);
    let lent =
        |home: &Home, name: &str| home.machine_folders().iter().filter(|folder| folder.join(name).exists()).count();
    kill_at(&home, home.spawn(&create_words("a")), "the image is lent", || lent(&home, "image") > 1);
    assert_eq!(home.ok(&["exec", "a", "--", "echo", "here"]), "here");
    kill_at(&home, home.spawn(&create_words("b")), "its VMM is launched", || lent(&home, "run/plan.json") > 2);
    assert_eq!(home.ok(&["exec", "b", "--", "hostname"]), "b");
    assert_eq!(home.machine_folders().len(), 3);
}

#[test]
fn a_vmm_killed_while_an_image_is_made_is_told_and_leaves_nothing() {
    let home = Home::new("kill-builder");
    home.forget_memory_images();
    let client = home.spawn(&create_words("a"));
    let vmm =
        || home.processes().into_iter().find(|(_, line)| line.contains("qemu-system") && !line.contains("supervise"));
    until("the builder boots", || vmm().is_some());
    if let Some((pid, _)) = vmm() {
        kill(pid);
    }
    let output = client.wait_with_output().expect("it was started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(8) && told.contains("signal 9"), "{told}");
    assert_eq!((folders(&home), home.machine_folders()), (Vec::new(), Vec::new()));
    home.ok(&create_words("a"));
}

/// A server whose memory images lie on a file system of their own, of this size, which ends with the server.
fn serve_apart(home: &Home, size: &str) -> Option<Child> {
    if !may_mount() {
        eprintln!("skipped: mounting needs root");
        return None;
    }
    home.forget_memory_images();
    let memory = home.folder().join("images/memory");
    let script = format!("mount -t tmpfs -o size={size} tmpfs '{}' && exec \"$0\" serve", memory.display());
    let environment: Vec<_> =
        home.command(&[]).get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    let mut server = Command::new("unshare");
    server.args(["-m", "sh", "-c", &script]).arg(home.command(&[]).get_program()).envs(environment);
    let server = server.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("unshare is there");
    until("the server answers", || answers(home));
    Some(server)
}

#[test]
fn without_room_for_an_image_a_machine_boots() {
    let home = Home::new("no-room");
    let Some(mut server) = serve_apart(&home, "100m") else { return };
    let told = home.machine(&create_words("a"));
    assert!(told.code == 0 && told.stderr.contains("the disk is full"), "{told:?}");
    assert_eq!(home.inspect("a")["served_by"], "boot");
    assert_eq!(home.ok(&["image", "ls", "-q"]), "");
    let told = home.refused(&[&["template", "build", "base", "--image"], SMALL.as_slice()].concat(), 6);
    assert!(told.contains("the disk is full"), "{told}");
    home.ok(&["destroy", "--yes", "a"]);
    home.ok(&["serve", "--stop"]);
    server.wait().expect("it was started");
}

/// Hard links do not reach another file system: its disk is copied, and the rest is found there.
#[test]
fn images_may_lie_on_another_file_system() {
    let home = Home::new("apart");
    let Some(mut server) = serve_apart(&home, "600m") else { return };
    for name in ["a", "b"] {
        assert_eq!(create(&home, name, &[]), "image");
        assert_eq!(home.ok(&["exec", name, "--", "hostname"]), name);
    }
    let image = home.ok(&["image", "ls", "-q"]);
    home.ok(&["image", "rm", "--yes", &image]);
    home.ok(&["exec", "a", "--", "sh", "-c", "echo kept > /var/kept; sync"]);
    home.ok(&["stop", "a"]);
    home.ok(&["start", "a"]);
    assert_eq!(home.ok(&["exec", "a", "--", "cat", "/var/kept"]), "kept");
    home.ok(&["destroy", "--yes", "a", "b"]);
    home.ok(&["serve", "--stop"]);
    server.wait().expect("it was started");
}
