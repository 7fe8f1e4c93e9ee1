//! Mounts in a mount namespace of the test's own; elsewhere it says that it was not checked. A folder in memory
//! stands for one of the host's: what is done around it is the same.

use super::*;
use machine_agent_protocol::{GuestPath, Owner};
use std::fs;
use std::io::Write as _;
use std::process::Command;

const INSIDE: &str = "MACHINE_AGENT_TEST_INSIDE";

fn place(folder: &Path, access: MountAccess) -> Place {
    let excludes = ["node_modules", "a/b"].map(GuestPath::from).to_vec();
    let target = GuestPath::from(folder.to_str().unwrap());
    parse(Mount { tag: "project".into(), target, access, excludes, owner: Owner { uid: 7, gid: 8 } }).unwrap()
}

#[test]
fn a_folder_is_mounted_once_with_the_guests_own_in_it_and_taken_away_whole() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return mount_and_unmount(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let prepare = "mount -t tmpfs none /var/lib";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
        command
    };
    if !unshare(prepare).output().is_ok_and(|output| output.status.success()) {
        writeln!(std::io::stderr(), "not checked: no mount namespaces here").unwrap();
        return;
    }
    let name = "share::tests::a_folder_is_mounted_once_with_the_guests_own_in_it_and_taken_away_whole";
    let output =
        unshare(&format!("{prepare} && exec \"$0\" --exact {name}")).env(INSIDE, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn mount_and_unmount(folder: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let target = folder.join("made/web");
    let place = place(&target, MountAccess::ReadWrite);
    for _ in 0..2 {
        assert!(matches!(attach(&place, "tmpfs").unwrap(), Attempt::Mounted));
        shade::lay(&place).unwrap();
    }
    assert_eq!(fs::metadata(folder.join("made")).unwrap().uid(), 7);
    assert_eq!(table::at(&target).unwrap().unwrap().source, "project");
    let own = target.join("node_modules");
    assert_ne!(fs::metadata(&own).unwrap().dev(), fs::metadata(&target).unwrap().dev());
    assert_eq!((fs::metadata(&own).unwrap().uid(), fs::metadata(&own).unwrap().gid()), (7, 8));
    fs::write(own.join("f"), "guest's").unwrap();
    let other = Place { tag: "other".into(), ..place.clone() };
    assert_eq!(attach(&other, "tmpfs").err().map(|failed| failed.code), Some(FailureCode::AlreadyExists));
    let read_only = Place { access: MountAccess::ReadOnly, ..place.clone() };
    assert_eq!(attach(&read_only, "tmpfs").err().map(|failed| failed.code), Some(FailureCode::AlreadyExists));
    // Somebody in it does not keep it.
    let _inside = fs::File::open(&own).unwrap();
    for _ in 0..2 {
        detach(&target).unwrap();
        assert_eq!(table::at(&target).unwrap(), None);
        assert_eq!(table::at(&own).unwrap(), None);
    }
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    // The guest's own is there again.
    assert!(matches!(attach(&place, "tmpfs").unwrap(), Attempt::Mounted));
    shade::lay(&place).unwrap();
    assert_eq!(fs::read_to_string(own.join("f")).unwrap(), "guest's");
    detach(&target).unwrap();
    links_lead_nowhere(folder, &place);
}

/// What the folder holds is not asked where the guest mounts.
fn links_lead_nowhere(folder: &Path, place: &Place) {
    let outside = folder.join("outside");
    fs::create_dir_all(outside.join("b")).unwrap();
    assert!(matches!(attach(place, "tmpfs").unwrap(), Attempt::Mounted));
    std::os::unix::fs::symlink(&outside, place.target.join("a")).unwrap();
    shade::lay(place).unwrap_err();
    assert_eq!(table::at(&outside.join("b")).unwrap(), None);
    detach(&place.target).unwrap();
    std::os::unix::fs::symlink("/etc", folder.join("etc")).unwrap();
    let through = Place { target: folder.join("etc/machine-test"), ..place.clone() };
    assert_eq!(attach(&through, "tmpfs").err().map(|failed| failed.code), Some(FailureCode::Invalid));
    assert!(!Path::new("/etc/machine-test").exists());
}
