//! A machine's own copy of an image's memory: never the image's file, made ahead, bound to this boot of the host.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use machine_hypervisor::boot_plan::Backing;

use super::lent::Lent;
use super::store::{Check, ImageStore, Kept, RAM};
use super::tests::{key, make_fresh};

fn spares(kept: &Kept) -> Vec<String> {
    let names = fs::read_dir(&kept.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("spare-")).collect()
}

#[test]
fn what_a_machine_writes_to_its_own_copy_the_image_never_sees() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    let kept = make_fresh(&store, 1).unwrap();
    let image = fs::read(kept.folder.join(RAM)).unwrap();
    for with_spare in [false, true] {
        let to = folder.path().join("machine");
        if with_spare {
            assert!(kept.make_spare().unwrap());
        }
        let lent = kept.lend_with_own_ram(&to).unwrap();
        assert_eq!(lent.backing(), Backing::Kept(lent.own_ram.clone()));
        assert!(lent.is_restored() && !lent.ram.exists());
        assert_eq!(fs::read(&lent.own_ram).unwrap(), image);
        let facts = fs::metadata(&lent.own_ram).unwrap();
        assert_eq!((facts.nlink(), facts.mode() & 0o777), (1, 0o600), "nobody else has it");
        fs::File::options().write(true).open(&lent.own_ram).unwrap().write_all_at(b"changed", 0).unwrap();
        assert_eq!(fs::read(kept.folder.join(RAM)).unwrap(), image);
    }
    assert!(store.find(&key(1), Check::ForUse).unwrap().is_some(), "a spare is no damage");
}

#[test]
fn a_spare_is_made_once_taken_once_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    let kept = make_fresh(&store, 1).unwrap();
    let alone = kept.occupies();
    assert!(kept.make_spare().unwrap());
    assert!(!kept.make_spare().unwrap(), "it is there");
    assert!(kept.occupies() > alone, "it is counted");
    let inode = fs::metadata(kept.spare()).unwrap().ino();
    let first = kept.lend_with_own_ram(&folder.path().join("first")).unwrap();
    assert_eq!(fs::metadata(&first.own_ram).unwrap().ino(), inode, "it is moved, not copied");
    assert!(spares(&kept).is_empty());
    let second = kept.lend_with_own_ram(&folder.path().join("second")).unwrap();
    assert_ne!(fs::metadata(&second.own_ram).unwrap().ino(), inode);
    assert!(kept.make_spare().unwrap());
}

#[test]
fn a_spare_that_somebody_else_has_too_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    let kept = make_fresh(&store, 1).unwrap();
    assert!(kept.make_spare().unwrap());
    let theirs = folder.path().join("theirs");
    fs::hard_link(kept.spare(), &theirs).unwrap();
    let lent = kept.lend_with_own_ram(&folder.path().join("machine")).unwrap();
    let inode = |path| fs::metadata(path).unwrap().ino();
    assert_ne!(inode(&lent.own_ram), inode(&theirs));
    assert_eq!(fs::read(&theirs).unwrap(), fs::read(kept.folder.join(RAM)).unwrap(), "theirs is as it was");
}

#[test]
fn a_spare_of_another_boot_of_the_host_or_half_made_is_not_taken_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    let kept = make_fresh(&store, 1).unwrap();
    for stale in ["spare-of-another-boot", "spare-x.new"] {
        fs::write(kept.folder.join(stale), "nothing good").unwrap();
    }
    let lent = kept.lend_with_own_ram(&folder.path().join("machine")).unwrap();
    assert_eq!(fs::read(&lent.own_ram).unwrap(), fs::read(kept.folder.join(RAM)).unwrap());
    assert!(kept.make_spare().unwrap());
    assert_eq!(spares(&kept), [kept.spare().file_name().unwrap().to_str().unwrap()]);
    store.remove(&kept.id).unwrap();
    assert!(kept.make_spare().is_err() && !kept.folder.exists(), "an image that is gone has no spare");
}

#[test]
fn a_machine_that_is_off_has_no_memory_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::new(folder.path().join("memory"));
    let kept = make_fresh(&store, 1).unwrap();
    let to = folder.path().join("machine");
    let lent = kept.lend_with_own_ram(&to).unwrap();
    Lent::forget_own_ram(&to).unwrap();
    Lent::forget_own_ram(&to).unwrap();
    assert!(!lent.own_ram.exists() && lent.disk.exists());
    assert_eq!(lent.backing(), Backing::Anonymous);
}
