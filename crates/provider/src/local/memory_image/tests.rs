//! The store against killed makers, damaged parts, full disks, and images that go while they are used.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use machine_core::MiB;
use machine_core::network::NetworkMode;
use machine_core::promise::memory_image::Shape;
use machine_hypervisor::ingredients::Ingredients;

use super::finish::Finish;
use super::key::Key;
use super::manifest::Facts;
use super::store::{Check, DISK, Damage, ImageStore, Kept, RAM, STATE};

pub(super) fn key(cpus: u32) -> Key {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64)).parse().unwrap();
    let text = |text: &str| text.to_owned();
    Key {
        shape: Shape { template: digest("a"), cpus, memory: MiB(1), network: NetworkMode::User },
        disk: MiB(2),
        authorities: None,
        initramfs: digest("b"),
        hypervisor: Ingredients {
            hypervisor: text("qemu"),
            version: text("10.0.2"),
            accelerator: text("tcg"),
            machine_type: text("pc-q35-10.0"),
            cpu_model: text("Haswell-v4"),
            memory: text("1M"),
            cpus: cpus.to_string(),
            command_line: text("quiet"),
            tsc_khz: text("2600000"),
            devices: vec![text("rng")],
        },
    }
}

fn facts(key: Key) -> Facts {
    Facts { key, made_at: Timestamp::UNIX_EPOCH, ssh_host_keys: vec!["rsa".to_owned()], warm_up: None }
}

/// An image of some bytes, just made.
pub(super) fn make_fresh(store: &ImageStore, cpus: u32) -> std::io::Result<Kept> {
    let key = key(cpus);
    let made = store.begin(&key.id())?;
    for name in [RAM, STATE, DISK] {
        let mut file = File::create(made.part(name))?;
        file.write_all(&[7; 70_000])?;
        file.write_all(name.as_bytes())?;
    }
    store.keep(made, facts(key))
}

/// The same, sealed.
fn make(store: &ImageStore, cpus: u32) -> std::io::Result<Kept> {
    let id = make_fresh(store, cpus)?.id;
    match store.finish(&id) {
        Ok(Finish::Sealed) => Ok(store.open(&id, Check::Lengths).unwrap().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn flip(path: &Path, place: u64) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1], place).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

fn damaged(store: &ImageStore, check: Check) -> Option<&'static str> {
    store.find(&key(1), check).err().map(|Damage { part, .. }| part)
}

#[test]
fn a_sealed_image_is_found_by_its_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    assert!(store.find(&key(1), Check::ForUse).unwrap().is_none());
    let kept = make(&store, 1).unwrap();
    let found = store.find(&key(1), Check::ForUse).unwrap().unwrap();
    assert_eq!((found.id.clone(), found.manifest), (kept.id, kept.manifest));
    assert!(store.find(&key(2), Check::ForUse).unwrap().is_none());
    assert_eq!(store.ids().unwrap(), [found.id]);
    let mode = fs::metadata(found.folder.join(RAM)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}

#[test]
fn what_differs_is_told_by_name() {
    let mut newer = key(1);
    newer.hypervisor.version = "10.0.3".to_owned();
    newer.initramfs = format!("sha256:{}", "c".repeat(64)).parse().unwrap();
    assert_eq!(key(1).differences(&newer), ["initramfs", "version: 10.0.2, now 10.0.3"]);
    assert_ne!(key(1).id(), newer.id());
    assert!(key(1).is_sibling(&newer) && !key(1).is_sibling(&key(2)));
}

/// Images of before there was a choice of networks keep their names, and so are seen to be out of date.
#[test]
fn only_the_unusual_network_is_part_of_a_name() {
    let usual = serde_json::to_string(&key(1)).unwrap();
    assert!(!usual.contains("network"), "{usual}");
    assert_eq!(serde_json::from_str::<Key>(&usual).unwrap(), key(1));
    let trusting = Key { authorities: Some(key(1).initramfs), ..key(1) };
    assert!(trusting.id() != key(1).id() && !trusting.is_sibling(&key(1)));
    let without = Key { shape: Shape { network: NetworkMode::None, ..key(1).shape }, ..key(1) };
    assert_ne!(without.id(), key(1).id());
    assert!(!without.is_sibling(&key(1)));
}

/// A maker may be killed at any point before the rename: what it made so far is no image, and is swept.
#[test]
fn a_killed_maker_leaves_no_image_and_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("memory");
    let store = ImageStore::new(root.clone());
    let whole = make(&store, 2).unwrap();
    let parts = [RAM, STATE, DISK, "manifest.json", "verified"];
    for reached in 0..=parts.len() {
        // As a killed process leaves it: the folder of an image of this key, without its lock.
        let left = root.join(format!("unfinished-1-{}", key(1).id().hex()));
        fs::create_dir(&left).unwrap();
        for part in &parts[..reached] {
            fs::copy(whole.folder.join(part), left.join(part)).unwrap();
        }
        assert!(store.find(&key(1), Check::ForUse).unwrap().is_none(), "{reached}");
        assert_eq!(store.ids().unwrap(), std::slice::from_ref(&whole.id), "{reached}");
        store.sweep().unwrap();
        assert!(!left.exists(), "{reached}");
    }
    assert!(store.find(&key(2), Check::Whole).unwrap().is_some());
}

#[test]
fn a_living_maker_is_not_swept_and_one_that_gives_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("memory");
    let store = ImageStore::new(root.clone());
    let made = store.begin(&key(1).id()).unwrap();
    fs::write(made.part(RAM), "half").unwrap();
    ImageStore::new(root.clone()).sweep().unwrap();
    assert!(made.part(RAM).exists());
    drop(made);
    assert_eq!(names(&root), Vec::<String>::new());
}

#[test]
fn every_flipped_bit_is_found_where_digests_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    for (part, at_each_use) in [(RAM, false), (STATE, true), (DISK, false), ("manifest.json", true)] {
        let kept = make(&store, 1).unwrap();
        flip(&kept.folder.join(part), 60);
        assert_eq!(damaged(&store, Check::ForUse), at_each_use.then_some(part));
        assert_eq!(damaged(&store, Check::Whole), Some(part));
        // The host boots: the first use reads everything.
        fs::write(kept.folder.join("verified"), "another boot").unwrap();
        assert_eq!(damaged(&store, Check::ForUse), Some(part));
        store.remove(&kept.id).unwrap();
    }
}

#[test]
fn a_part_that_is_missing_or_short_is_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    for part in [RAM, STATE, DISK] {
        let kept = make(&store, 1).unwrap();
        let path = kept.folder.join(part);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(70_000).unwrap();
        assert_eq!(damaged(&store, Check::Lengths), Some(part));
        fs::remove_file(&path).unwrap();
        assert_eq!(damaged(&store, Check::Lengths), Some(part));
        store.remove(&kept.id).unwrap();
    }
    let kept = make(&store, 1).unwrap();
    fs::remove_file(kept.folder.join("manifest.json")).unwrap();
    assert_eq!(damaged(&store, Check::Lengths), Some("manifest.json"));
}

#[test]
fn another_images_manifest_is_no_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    let (one, two) = (make(&store, 1).unwrap(), make(&store, 2).unwrap());
    fs::remove_file(one.folder.join("manifest.json")).unwrap();
    fs::copy(two.folder.join("manifest.json"), one.folder.join("manifest.json")).unwrap();
    assert_eq!(damaged(&store, Check::Lengths), Some("manifest.json"));
}

#[test]
fn what_was_lent_outlives_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    let kept = make(&store, 1).unwrap();
    let lent = kept.lend(&folder.path().join("lent")).unwrap();
    assert_eq!(kept.machines(), 1);
    assert!(store.remove(&kept.id).unwrap());
    assert!(!store.remove(&kept.id).unwrap());
    // Removed between the decision and the use: whoever decided finds nothing to borrow.
    assert!(kept.lend(&folder.path().join("late")).is_err());
    for path in [&lent.ram, &lent.state, &lent.disk] {
        assert!(fs::read(path).unwrap().starts_with(&[7; 70_000]), "{}", path.display());
    }
}

#[test]
fn an_image_is_replaced_by_another_of_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("memory");
    let store = ImageStore::new(root.clone());
    make(&store, 1).unwrap();
    let made = store.begin(&key(1).id()).unwrap();
    for name in [RAM, STATE, DISK] {
        fs::write(made.part(name), "another").unwrap();
    }
    store.keep(made, facts(key(1))).unwrap();
    assert_eq!(store.find(&key(1), Check::Whole).unwrap().unwrap().manifest.ram.bytes, 7);
    assert_eq!(names(&root), [key(1).id().hex()]);
}

const SMALL_DISK: &str = "MACHINE_TEST_SMALL_DISK";

/// Runs itself again on a disk of two megabytes, in a mount namespace of its own.
#[test]
fn a_full_disk_at_any_step_leaves_no_image() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        fill(&PathBuf::from(disk));
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=2m none \"$0\"";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(disk.path());
        command
    };
    if !unshare(mount).output().is_ok_and(|output| output.status.success()) {
        writeln!(std::io::stderr(), "not checked: no mount namespaces here").unwrap();
        return;
    }
    let name = "local::memory_image::tests::a_full_disk_at_any_step_leaves_no_image";
    let output = unshare(&format!("{mount} && exec \"$1\" --exact {name}"))
        .arg(std::env::current_exe().unwrap())
        .env(SMALL_DISK, disk.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Makes images with ever less room: each is whole or not there.
fn fill(disk: &Path) {
    let root = disk.join("memory");
    let store = ImageStore::new(root.clone());
    let (mut failures, mut later, mut sealed) = (0, 0, 0);
    for spare in (0..320_u64).step_by(4) {
        let ballast = disk.join("ballast");
        let mut file = File::create(&ballast).unwrap();
        // All that is free, but for a few pages.
        while file.write_all(&[1; 4096]).is_ok() {}
        let used = fs::metadata(&ballast).unwrap().len();
        file.set_len(used.saturating_sub(spare * 1024)).unwrap();
        match make_fresh(&store, 1) {
            Ok(kept) => {
                assert!(store.find(&key(1), Check::ForUse).unwrap().is_some());
                match store.finish(&kept.id) {
                    Ok(Finish::Sealed) => sealed += 1,
                    Ok(Finish::Later(_)) => later += 1,
                    other => panic!("{other:?}"),
                }
                assert!(store.find(&key(1), Check::Whole).unwrap().is_some());
            }
            Err(_) => {
                failures += 1;
                assert!(store.find(&key(1), Check::Whole).unwrap().is_none());
            }
        }
        fs::remove_file(&ballast).unwrap();
        store.remove(&key(1).id()).unwrap();
        assert_eq!(names(disk).len(), 1);
        assert!(names(&root).is_empty(), "{:?}", names(&root));
    }
    assert!(failures > 10 && later > 0 && sealed > 0, "{failures} {later} {sealed}");
}
