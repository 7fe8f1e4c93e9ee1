//! Tests of read_only_root.rs: memory in a mount namespace of their own.

use super::*;

#[test]
fn what_is_copied_has_its_rights_and_links_stay_links() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(from.path().join("d")).unwrap();
    fs::write(from.path().join("d/f"), "x").unwrap();
    fs::set_permissions(from.path().join("d/f"), Permissions::from_mode(0o640)).unwrap();
    symlink("/nowhere", from.path().join("l")).unwrap();
    copy(from.path(), to.path(), Fill::All, &mut 1).unwrap();
    assert_eq!(fs::read_to_string(to.path().join("d/f")).unwrap(), "x");
    assert_eq!(fs::metadata(to.path().join("d/f")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_link(to.path().join("l")).unwrap(), Path::new("/nowhere"));
    let folders = tempfile::tempdir().unwrap();
    copy(from.path(), folders.path(), Fill::Folders, &mut 0).unwrap();
    assert_eq!(fs::read_dir(folders.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folders.path().join("d")).unwrap().count(), 0);
    assert!(copy(from.path(), tempfile::tempdir().unwrap().path(), Fill::All, &mut 0).is_err());
}

const INSIDE: &str = "MACHINE_AGENT_TEST_ROOT";

#[test]
fn memory_lies_over_a_place_once_and_what_was_there_is_in_it() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return lay_over_two(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let prepare = "mount -t tmpfs none /run";
    let unshare = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
        command
    };
    if !unshare(prepare).output().is_ok_and(|output| output.status.success()) {
        io::Write::write_all(&mut io::stderr(), b"not checked: no mount namespaces here\n").unwrap();
        return;
    }
    let name = "read_only_root::tests::memory_lies_over_a_place_once_and_what_was_there_is_in_it";
    let script = format!("{prepare} && exec \"$0\" --exact {name}");
    let output = unshare(&script).env(INSIDE, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(!folder.path().join("etc/new").exists(), "what is written goes to memory");
}

fn lay_over_two(folder: &Path) {
    let (etc, tmp) = (folder.join("etc"), folder.join("tmp"));
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("passwd"), "x").unwrap();
    fs::create_dir(&tmp).unwrap();
    fs::set_permissions(&tmp, Permissions::from_mode(0o1777)).unwrap();
    fs::write(tmp.join("old"), "").unwrap();
    for _ in 0..2 {
        lay_one(&etc, Fill::All, &mut 100).unwrap();
        lay_one(&tmp, Fill::Nothing, &mut 0).unwrap();
        assert_eq!(fs::read_to_string(etc.join("passwd")).unwrap(), "x");
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
        assert_eq!(fs::metadata(&tmp).unwrap().mode() & 0o7777, 0o1777);
        assert_ne!(fs::metadata(&etc).unwrap().dev(), fs::metadata(folder).unwrap().dev());
    }
    fs::write(etc.join("new"), "").unwrap();
    lay_one(&folder.join("none"), Fill::All, &mut 0).unwrap();
}

#[test]
fn who_writes_is_found() {
    let file = tempfile::tempfile().unwrap();
    let device = file.metadata().unwrap().dev();
    assert!(writes(Path::new("/proc/self"), device));
    assert_eq!(access("pos:\t0\nflags:\t0100002\n"), Some(2));
    assert_eq!(access("pos:\t0\nflags:\t0100000\n"), Some(0));
    assert_eq!(access(""), None);
}
