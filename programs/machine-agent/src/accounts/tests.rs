//! A user in a root of the test's own. Owners can be given away by root only, so others are made of ourselves.

use super::*;

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("bin/sh", "");
    put("etc/skel/.profile", "skeleton\n");
    put("etc/group", "docker:x:998:\n");
    root
}

fn user(name: &str) -> EnsureUser {
    let ours = fs::metadata("/proc/self").unwrap();
    // As root, any number will do.
    let number = |own: u32| if own == 0 { 4321 } else { own };
    EnsureUser { name: name.into(), uid: number(ours.uid()), gid: number(ours.gid()), shell: None, sudo: true }
}

fn text(root: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).unwrap()
}

#[test]
fn a_user_is_made_once_and_renamed_with_the_home() {
    let root = root();
    let ann = user("ann");
    for _ in 0..2 {
        ensure_in(root.path(), &ann).unwrap();
        let (uid, gid) = (ann.uid, ann.gid);
        assert_eq!(text(&root, "etc/passwd"), format!("ann:x:{uid}:{gid}::/home/ann:/bin/sh\n"));
        assert_eq!(text(&root, "etc/group"), format!("docker:x:998:ann\nann:x:{gid}:\n"));
    }
    assert_eq!(text(&root, "home/ann/.profile"), "skeleton\n");
    assert_eq!(fs::metadata(root.path().join("home/ann/.profile")).unwrap().uid(), ann.uid);
    assert_eq!(text(&root, SUDOER), "ann ALL=(ALL:ALL) NOPASSWD: ALL\n");
    fs::write(root.path().join("home/ann/mine"), "kept").unwrap();
    // A folder of the host may be there before its user.
    fs::create_dir_all(root.path().join("home/bob/web")).unwrap();
    ensure_in(root.path(), &EnsureUser { sudo: false, ..user("bob") }).unwrap();
    assert_eq!(text(&root, "home/bob/mine"), "kept");
    assert!(!root.path().join("home/ann").exists() && root.path().join("home/bob/web").exists());
    assert!(!root.path().join(SUDOER).exists());
    assert!(text(&root, "etc/passwd").starts_with("bob:x:"));
    assert!(!root.path().join("etc/shadow").exists());
}

#[test]
fn a_book_keeps_its_rights() {
    let root = root();
    fs::write(root.path().join("etc/shadow"), "root:*:1::::::\n").unwrap();
    fs::set_permissions(root.path().join("etc/shadow"), Permissions::from_mode(0o640)).unwrap();
    ensure_in(root.path(), &user("ann")).unwrap();
    assert_eq!(text(&root, "etc/shadow"), "root:*:1::::::\nann:!:::::::\n");
    assert_eq!(fs::metadata(root.path().join("etc/shadow")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(root.path().join("etc")).unwrap().count(), 5, "nothing is left behind");
}

#[test]
fn what_is_no_user_is_refused() {
    let refused = |change: fn(&mut EnsureUser)| {
        let mut user = user("ann");
        change(&mut user);
        assert!(check(&user).is_err(), "{user:?}");
    };
    assert!(check(&user("ann.b-c_1")).is_ok());
    refused(|user| user.name = "root".into());
    refused(|user| user.name.clear());
    refused(|user| user.name = "a:b".into());
    refused(|user| user.name = "a\nb".into());
    refused(|user| user.name = "../a".into());
    refused(|user| user.name = "-a".into());
    refused(|user| user.name = "x".repeat(33));
    refused(|user| user.uid = 0);
    refused(|user| user.gid = 0);
    refused(|user| user.uid = u32::MAX);
    refused(|user| user.shell = Some("bash".into()));
    refused(|user| user.shell = Some("/bin/sh:x".into()));
    let root = root();
    assert!(ensure_in(root.path(), &EnsureUser { shell: Some("/bin/none".into()), ..user("ann") }).is_err());
}
