//! Images that serve before they are sealed: against boots of the host, kills while they are sealed, changes,
//! and removal meanwhile.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::finish::Finish;
use super::manifest::{Content, Manifest, Part};
use super::store::{Check, DISK, Damage, ImageStore, Kept, RAM, STATE};
use super::tests::{flip, key, make_fresh};

const MANIFEST: &str = "manifest.json";

fn manifest(kept: &Kept) -> Manifest {
    Manifest::open(&fs::read(kept.folder.join(MANIFEST)).unwrap()).unwrap()
}

/// As it is found after the host booted: with power lost, or only with luck.
fn boot_the_host(kept: &Kept) {
    let aged = |part: &Part| match &part.content {
        Content::Fresh { inode, modified, .. } => {
            let content = Content::Fresh { boot: "another".to_owned(), inode: *inode, modified: *modified };
            Part { content, ..part.clone() }
        }
        Content::Sealed { .. } => part.clone(),
    };
    let now = manifest(kept);
    let then = now.with_parts([aged(&now.ram), aged(&now.state), aged(&now.disk)]);
    fs::write(kept.folder.join(MANIFEST), then.sealed()).unwrap();
    let _ = fs::write(kept.folder.join("verified"), "another");
}

fn store(folder: &Path) -> ImageStore {
    ImageStore::new(folder.join("memory"))
}

fn finished(store: &ImageStore, kept: &Kept) -> Finish {
    store.finish(&kept.id).unwrap()
}

#[test]
fn a_fresh_image_serves_at_once_and_a_sealed_one_after_boots_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let kept = make_fresh(&store, 1).unwrap();
    assert!(kept.manifest.is_fresh());
    for check in [Check::Lengths, Check::ForUse, Check::Whole] {
        assert!(store.find(&key(1), check).unwrap().is_some());
    }
    assert!(matches!(finished(&store, &kept), Finish::Sealed));
    assert!(!manifest(&kept).is_fresh());
    boot_the_host(&kept);
    assert!(store.find(&key(1), Check::ForUse).unwrap().is_some());
}

#[test]
fn a_fresh_image_does_not_outlive_its_boot() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let kept = make_fresh(&store, 1).unwrap();
    boot_the_host(&kept);
    for check in [Check::Lengths, Check::ForUse, Check::Whole] {
        assert!(store.find(&key(1), check).is_err(), "{check:?}");
    }
    assert!(store.finish(&kept.id).is_err());
}

#[test]
fn a_server_seals_what_the_one_before_did_not_and_removes_what_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(store(folder.path()));
    let (fresh, old) = (make_fresh(&store, 1).unwrap(), make_fresh(&store, 2).unwrap());
    boot_the_host(&old);
    store.clone().finish_apart();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while manifest(&fresh).is_fresh() || old.folder.exists() {
        assert!(std::time::Instant::now() < deadline, "never sealed and removed");
        std::thread::yield_now();
    }
    assert!(store.find(&key(1), Check::Whole).unwrap().is_some());
}

/// Whoever seals may be killed at any point: the image is as fresh as it was, or sealed.
#[test]
fn a_sealing_that_was_killed_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for left in [&b""[..], b"half a manif"] {
        let kept = make_fresh(&store, 1).unwrap();
        fs::write(kept.folder.join("manifest.json.next"), left).unwrap();
        assert!(store.find(&key(1), Check::ForUse).unwrap().unwrap().manifest.is_fresh());
        assert!(matches!(finished(&store, &kept), Finish::Sealed));
        // Killed right after the last step but one: nobody noted that it was read.
        fs::remove_file(kept.folder.join("verified")).unwrap();
        assert!(store.find(&key(1), Check::ForUse).unwrap().is_some());
        assert!(!kept.folder.join("manifest.json.next").exists());
        store.remove(&kept.id).unwrap();
    }
}

#[test]
fn a_part_that_changed_before_it_was_sealed_is_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for part in [RAM, STATE, DISK, MANIFEST] {
        let kept = make_fresh(&store, 1).unwrap();
        flip(&kept.folder.join(part), 60);
        assert!(matches!(store.find(&key(1), Check::ForUse), Err(Damage { part: found, .. }) if found == part));
        assert!(store.finish(&kept.id).is_err(), "{part}");
        store.remove(&kept.id).unwrap();
    }
    for part in [RAM, STATE, DISK] {
        let kept = make_fresh(&store, 1).unwrap();
        // Another file with the same bytes: what was brought to the disk is not what was made.
        let path = kept.folder.join(part);
        fs::copy(&path, path.with_extension("copy")).unwrap();
        fs::rename(path.with_extension("copy"), &path).unwrap();
        assert!(store.find(&key(1), Check::ForUse).is_err(), "{part}");
        store.remove(&kept.id).unwrap();
    }
}

#[test]
fn what_a_fresh_image_lent_is_as_good_as_any() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let kept = make_fresh(&store, 1).unwrap();
    let to = folder.path().join("lent");
    let lent = kept.lend(&to).unwrap();
    // A second name is no change.
    assert!(store.find(&key(1), Check::ForUse).unwrap().is_some());
    assert!(matches!(finished(&store, &kept), Finish::Sealed));
    store.remove(&kept.id).unwrap();
    assert!(lent.ram.exists());
    assert_eq!(super::Lent::ssh_host_keys(&to), ["rsa"]);
}

#[test]
fn an_image_that_goes_while_it_is_sealed_leaves_its_successor_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(store(folder.path()));
    for _ in 0..40 {
        let first = make_fresh(&store, 1).unwrap();
        let sealing = {
            let store = store.clone();
            std::thread::spawn(move || store.finish(&first.id))
        };
        store.remove(&key(1).id()).unwrap();
        let next = make_fresh(&store, 1).unwrap();
        // It may have met either, or none: whatever vanished under it is no fault of the successor's.
        assert!(sealing.join().unwrap().is_ok());
        assert!(store.find(&key(1), Check::Whole).unwrap().is_some());
        assert!(matches!(finished(&store, &next), Finish::Sealed));
        assert!(store.find(&key(1), Check::Whole).unwrap().is_some());
        store.remove(&next.id).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path().join("memory")).unwrap().count(), 0);
}
