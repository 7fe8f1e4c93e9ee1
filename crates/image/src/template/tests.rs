//! What templates promise, on folders made by hand.

use super::*;
use crate::seal::{Sealed, seal};

fn identity(root: &[u8]) -> Identity {
    let part = |bytes: &[u8]| Part { digest: Digest::of(bytes), bytes: u64::try_from(bytes.len()).unwrap() };
    Identity {
        inputs: Digest::of(b"inputs"),
        release: "x".to_owned(),
        architecture: "amd64".to_owned(),
        kernel_version: "6.12".to_owned(),
        kernel_package: "linux=6.12".to_owned(),
        root_disk: part(root),
        root_filesystem: "ext4".to_owned(),
        vmlinux: part(b"kernel"),
        modules: vec![manifest::ModulePart { file: "a.ko".to_owned(), part: part(b"module") }],
        packages: vec!["a=1".to_owned()],
        ready: None,
    }
}

fn sealed(images: &Path, name: &str, root: &[u8]) -> Template {
    let folder = images.join(format!("{UNFINISHED}{name}"));
    fs::create_dir_all(folder.join(MODULES)).unwrap();
    fs::write(folder.join(ROOT_DISK), root).unwrap();
    fs::write(folder.join(VMLINUX), b"kernel").unwrap();
    fs::write(folder.join(MODULES).join("a.ko"), b"module").unwrap();
    let manifest = Manifest::new(name, jiff::Timestamp::UNIX_EPOCH, manifest::Origin::default(), identity(root));
    seal(images, Sealed { folder: &folder, manifest: &manifest }).unwrap();
    Template::load(images, name).unwrap()
}

#[test]
fn what_was_sealed_is_found_by_its_name() {
    let images = tempfile::tempdir().unwrap();
    let template = sealed(images.path(), "base", b"root");
    template.check(Check::Digests).unwrap();
    assert_eq!(fs::read(template.root_disk()).unwrap(), b"root");
    assert_eq!(template.kernel_parts().unwrap().modules[0].bytes, b"module");
    assert_eq!(Template::list(images.path()).unwrap(), [template]);
}

#[test]
fn a_damaged_part_is_named() {
    let images = tempfile::tempdir().unwrap();
    let template = sealed(images.path(), "base", b"root");
    fs::remove_file(template.root_disk()).unwrap();
    fs::write(template.root_disk(), b"toor").unwrap();
    Template::load(images.path(), "base").unwrap();
    let changed = template.check(Check::Digests).unwrap_err();
    assert!(matches!(changed, TemplateError::Damaged { part, .. } if part == ROOT_DISK));
    fs::write(template.root_disk(), b"cut").unwrap();
    let cut = Template::load(images.path(), "base").unwrap_err();
    assert_eq!(cut.to_string(), "template base is damaged: root.ext4: 3 bytes, of 4");
}

#[test]
fn a_manifest_of_another_template_is_damage() {
    let images = tempfile::tempdir().unwrap();
    let template = sealed(images.path(), "base", b"root");
    let manifest = template.folder().join(MANIFEST);
    let text = fs::read_to_string(&manifest).unwrap().replace("a=1", "a=2");
    fs::remove_file(&manifest).unwrap();
    fs::write(&manifest, text).unwrap();
    let error = Template::load(images.path(), "base").unwrap_err();
    assert!(matches!(error, TemplateError::Damaged { part, .. } if part == MANIFEST));
}

#[test]
fn an_unknown_name_and_a_path_are_refused() {
    let images = tempfile::tempdir().unwrap();
    assert!(matches!(Template::load(images.path(), "base"), Err(TemplateError::Unknown { .. })));
    for name in ["../base", "", ".hidden", "a/b", "Base", "a.new"] {
        assert!(matches!(Template::load(images.path(), name), Err(TemplateError::BadName { .. })), "{name}");
    }
}

#[test]
fn sealing_the_same_again_changes_nothing() {
    let images = tempfile::tempdir().unwrap();
    let first = sealed(images.path(), "base", b"root");
    assert_eq!(sealed(images.path(), "base", b"root"), first);
    assert_eq!(fs::read_dir(images.path().join(TEMPLATES)).unwrap().count(), 1);
}

#[test]
fn a_rebuild_leaves_the_template_before_it_to_its_machines() {
    let images = tempfile::tempdir().unwrap();
    let old = sealed(images.path(), "base", b"root");
    let new = sealed(images.path(), "base", b"newer");
    assert_eq!(Template::load(images.path(), "base").unwrap(), new);
    let found = Template::by_digest(images.path(), &old.digest).unwrap();
    assert_eq!((found.name.as_str(), &found.manifest), (old.digest.as_str(), &old.manifest));
    assert_eq!(Template::unnamed(images.path()).unwrap(), std::slice::from_ref(&old.digest));
    for _ in 0..2 {
        Template::remove_unnamed(images.path(), &old.digest).unwrap();
    }
    assert!(matches!(Template::by_digest(images.path(), &old.digest), Err(TemplateError::Unknown { .. })));
}

#[test]
fn a_template_is_found_by_its_inputs_whatever_it_is_called() {
    let images = tempfile::tempdir().unwrap();
    let template = sealed(images.path(), "one", b"root");
    let of = |name: &str, inputs: &[u8]| Template::of_inputs(images.path(), name, &Digest::of(inputs)).unwrap();
    assert_eq!(of("one", b"inputs").unwrap().name, "one");
    let other = of("two", b"inputs").unwrap();
    assert_eq!(other.digest, template.digest);
    assert!(of("one", b"others").is_none());
    crate::seal::name(images.path(), "two", &other.digest).unwrap();
    assert_eq!(Template::list(images.path()).unwrap().len(), 2);
    assert_eq!(fs::read_dir(images.path().join(TEMPLATES)).unwrap().count(), 1);
}

#[test]
fn a_template_goes_with_its_last_name() {
    let images = tempfile::tempdir().unwrap();
    let template = sealed(images.path(), "base", b"root");
    fs::copy(images.path().join(REFS).join("base"), images.path().join(REFS).join("other")).unwrap();
    Template::remove(images.path(), "base").unwrap();
    assert!(template.folder().exists());
    Template::remove(images.path(), "other").unwrap();
    assert!(!template.folder().exists());
    assert!(matches!(Template::remove(images.path(), "base"), Err(TemplateError::Unknown { .. })));
}

#[test]
fn only_builds_that_are_over_are_swept() {
    let images = tempfile::tempdir().unwrap();
    let dead = images.path().join(format!("{UNFINISHED}1"));
    let alive = images.path().join(format!("{UNFINISHED}2"));
    for folder in [&dead, &alive, &images.path().join(TEMPLATES)] {
        fs::create_dir_all(folder.join("work")).unwrap();
    }
    let held = hold(&alive).unwrap();
    assert_eq!(sweep_unfinished(images.path()).unwrap(), [dead]);
    drop(held);
    // A child that another test is just starting may still hold a copy of the lock, until it runs its program.
    while alive.exists() {
        sweep_unfinished(images.path()).unwrap();
        std::thread::yield_now();
    }
    assert!(images.path().join(TEMPLATES).exists());
}
