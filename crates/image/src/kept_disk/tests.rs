//! What keeping a disk promises, on a small file system that was made by hand.

use std::process::Command;

use super::*;
use crate::template::manifest::Part;
use crate::tool::MKE2FS;

/// A template of a few files, as a machine would have changed them, and the disk of that machine.
fn parent(images: &Path, files: &Path) -> Template {
    let folder = images.join("unfinished-by-hand");
    fs::create_dir_all(folder.join(MODULES)).unwrap();
    let root = folder.join(ROOT_DISK);
    File::create(&root).unwrap().set_len(64 << 20).unwrap();
    let mut format = MKE2FS.command().unwrap();
    format.args(["-q", "-F", "-t", "ext4", "-d"]).arg(files).arg(&root);
    assert!(format.status().unwrap().success());
    fs::write(folder.join(VMLINUX), b"kernel").unwrap();
    let part = |path: &Path| Part { digest: Digest::of_file(path).unwrap(), bytes: fs::metadata(path).unwrap().len() };
    let identity = Identity {
        inputs: Digest::of(b"inputs"),
        release: "bookworm".to_owned(),
        architecture: "amd64".to_owned(),
        kernel_version: "6.12".to_owned(),
        kernel_package: "linux=6.12".to_owned(),
        root_disk: part(&root),
        root_filesystem: "ext4".to_owned(),
        vmlinux: part(&folder.join(VMLINUX)),
        modules: Vec::new(),
        packages: Vec::new(),
        ready: Some("true".to_owned()),
    };
    let manifest = Manifest::new("base", Timestamp::UNIX_EPOCH, Origin::default(), identity);
    seal::seal(images, Sealed { folder: &folder, manifest: &manifest }).unwrap();
    Template::load(images, "base").unwrap()
}

fn files(folder: &Path) -> PathBuf {
    let files = folder.join("files");
    for (path, text) in [
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("etc/hostname", "web\n"),
        ("etc/hosts", "127.0.1.1 web\n"),
        ("etc/resolv.conf", "nameserver 10.0.2.3\n"),
        ("etc/ssh/ssh_host_ed25519_key", "secret"),
        ("etc/ssh/sshd_config", "ours"),
        ("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 2\n"),
        ("srv/work", "done"),
    ] {
        fs::create_dir_all(files.join(path).parent().unwrap()).unwrap();
        fs::write(files.join(path), text).unwrap();
    }
    files
}

fn request(images: &Path, name: &str, base: &Template, disk: &Path) -> DiskRequest {
    DiskRequest {
        images: images.to_owned(),
        name: name.to_owned(),
        disk: disk.to_owned(),
        rest: Rest::new(|| true),
        parent: base.digest.clone(),
        key: "one".to_owned(),
        rebuild: Rebuild::WhenChanged,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Nothing where the host has no qemu-img: then no machine could run here either.
fn disk(folder: &Path, base: &Template) -> Option<PathBuf> {
    let disk = folder.join("root.qcow2");
    let root = base.root_disk().canonicalize().unwrap();
    crate::create_overlay(&disk, &root, crate::BaseFormat::Raw, 256 << 20).unwrap();
    Command::new("qemu-img").arg("--version").output().ok().map(|_| disk)
}

#[test]
fn a_kept_disk_has_its_machines_files_and_not_its_machines_identity() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    let base = parent(&images, &files(folder.path()));
    let Some(disk) = disk(folder.path(), &base) else { return };
    let Built::New(kept) = keep(&request(&images, "mine", &base, &disk), &Progress::silent()).unwrap() else {
        panic!("it was there already")
    };
    kept.check(crate::Check::Digests).unwrap();
    let content = |path: &str| String::from_utf8(scrub::read(&kept.root_disk(), path).unwrap()).unwrap();
    assert_eq!(content("/srv/work"), "done");
    assert_eq!(content("/etc/ssh/sshd_config"), "ours");
    assert_eq!((content("/etc/machine-id"), content("/etc/hostname")), (String::new(), "machine\n".to_owned()));
    assert!(content("/etc/hosts").contains("127.0.1.1\tmachine") && content("/etc/resolv.conf").is_empty());
    assert!(content("/etc/ssh/ssh_host_ed25519_key").is_empty());
    let image = File::open(kept.root_disk()).unwrap();
    assert_eq!(length(&image).unwrap(), image.metadata().unwrap().len());
    assert!(length(&image).unwrap() > FREE, "there is no room to work in");
    assert_eq!(kept.manifest.identity.packages, ["a=2"]);
    assert_eq!(kept.manifest.identity.ready.as_deref(), Some("true"));
    let mut check = E2FSCK.command().unwrap();
    assert!(check.args(["-f", "-n"]).arg(kept.root_disk()).output().unwrap().status.success());
    assert_eq!(fs::read_dir(&images).unwrap().count(), 2);
}

#[test]
fn the_same_state_of_a_disk_is_kept_once_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    let base = parent(&images, &files(folder.path()));
    let Some(disk) = disk(folder.path(), &base) else { return };
    let keep = |name: &str, key: &str| {
        let request = DiskRequest { key: key.to_owned(), ..request(&images, name, &base, &disk) };
        keep(&request, &Progress::silent()).unwrap()
    };
    let Built::New(first) = keep("first", "one") else { panic!("it was there already") };
    let Built::Already(second) = keep("second", "one") else { panic!("it was made again") };
    assert_eq!((second.digest, second.name.as_str()), (first.digest.clone(), "second"));
    let Built::New(other) = keep("other", "two") else { panic!("it was there already") };
    assert_ne!(other.digest, first.digest);
}

#[test]
fn a_machine_that_was_started_meanwhile_has_no_template() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    let base = parent(&images, &files(folder.path()));
    let Some(disk) = disk(folder.path(), &base) else { return };
    let started = DiskRequest { rest: Rest::new(|| false), ..request(&images, "mine", &base, &disk) };
    assert!(matches!(keep(&started, &Progress::silent()), Err(BuildError::Restless { .. })));
    assert!(Template::load(&images, "mine").is_err());
}

#[test]
fn a_disk_that_is_no_file_system_is_no_template() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    let base = parent(&images, &files(folder.path()));
    let raw = folder.path().join("zeros");
    File::create(&raw).unwrap().set_len(64 << 20).unwrap();
    let disk = folder.path().join("root.qcow2");
    crate::create_overlay(&disk, &raw, crate::BaseFormat::Raw, 64 << 20).unwrap();
    keep(&request(&images, "mine", &base, &disk), &Progress::silent()).unwrap_err();
    assert!(Template::load(&images, "mine").is_err());
    assert_eq!(fs::read_dir(&images).unwrap().count(), 2);
}
