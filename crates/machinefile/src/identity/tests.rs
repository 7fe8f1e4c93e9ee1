//! Promises of identities: a copy is another project, a moved folder is the same.

use super::*;

fn id(seed: u8) -> ProjectId {
    ProjectId::from_entropy(&[seed; ENTROPY])
}

fn record(seed: u8, path: &str) -> IdRecord {
    IdRecord { id: id(seed), path: PathBuf::from(path) }
}

#[test]
fn a_project_without_an_id_gets_one() {
    assert_eq!(decide(Path::new("/p/a"), None, None, id(9)), Identity::New(id(9)));
}

#[test]
fn a_project_in_its_place_is_the_same() {
    let here = record(1, "/p/a");
    assert_eq!(decide(Path::new("/p/a"), Some(&here), Some(&here), id(9)), Identity::Same(id(1)));
}

#[test]
fn a_copy_gets_an_id_of_its_own_and_a_moved_folder_keeps_its_own() {
    let told = record(1, "/p/old");
    let copied = Identity::Copied { id: id(9), of: PathBuf::from("/p/old") };
    let moved = Identity::Moved { id: id(1), from: PathBuf::from("/p/old") };
    assert_eq!(decide(Path::new("/p/new"), Some(&told), Some(&record(1, "/p/old")), id(9)), copied);
    assert_eq!(decide(Path::new("/p/new"), Some(&told), None, id(9)), moved);
    // Another project took the old place.
    assert_eq!(decide(Path::new("/p/new"), Some(&told), Some(&record(2, "/p/old")), id(9)), moved);
}

#[test]
fn an_id_is_twenty_letters_and_digits() {
    let spelled = id(255);
    assert_eq!(spelled.as_str().len(), 20);
    assert_eq!(spelled.as_str().parse(), Ok(spelled.clone()));
    for bad in ["", "A2345678901234567890", "a234567890123456789", "a2345678901234567890x", "../45678901234567890"] {
        assert_eq!(bad.parse::<ProjectId>(), Err(NotAProjectId), "{bad}");
    }
}

#[test]
fn whatever_a_folder_is_called_its_default_name_is_a_machines() {
    let long = format!("/p/{}", "a-".repeat(60));
    let name = |path: &str| default_name(Path::new(path)).to_string();
    assert!(name("/p/Blog").starts_with("blog-"), "{}", name("/p/Blog"));
    assert!(name("/p/2024 site").starts_with("site-"), "{}", name("/p/2024 site"));
    assert!(name("/p/日本").starts_with("project-"), "{}", name("/p/日本"));
    assert!(name("/").starts_with("project-"));
    assert!(name(&long).len() <= 39);
    assert_ne!(name("/p/blog"), name("/q/blog"));
    assert_eq!(name("/p/blog"), name("/p/blog"));
}

#[test]
fn the_id_file_is_untracked_and_survives_a_move() {
    let stage = tempfile::tempdir().unwrap();
    let (old, new) = (stage.path().join("old"), stage.path().join("new"));
    std::fs::create_dir(&old).unwrap();
    let Identity::New(first) = identify(&old, &[1; ENTROPY]).unwrap() else { panic!("new") };
    assert_eq!(std::fs::read_to_string(old.join(".machine/.gitignore")).unwrap(), "*\n");
    assert_eq!(identify(&old, &[2; ENTROPY]).unwrap(), Identity::Same(first.clone()));
    std::fs::rename(&old, &new).unwrap();
    let moved = identify(&new, &[3; ENTROPY]).unwrap();
    assert!(matches!(&moved, Identity::Moved { id, .. } if *id == first), "{moved:?}");
    assert_eq!(identify(&new, &[4; ENTROPY]).unwrap(), Identity::Same(first));
}

#[test]
fn a_copied_folder_is_another_project_from_then_on() {
    let stage = tempfile::tempdir().unwrap();
    let (one, two) = (stage.path().join("one"), stage.path().join("two"));
    std::fs::create_dir(&one).unwrap();
    let first = identify(&one, &[1; ENTROPY]).unwrap();
    std::fs::create_dir_all(two.join(".machine")).unwrap();
    std::fs::copy(one.join(".machine/id"), two.join(".machine/id")).unwrap();
    let copied = identify(&two, &[2; ENTROPY]).unwrap();
    assert!(matches!(&copied, Identity::Copied { .. }) && copied.id() != first.id(), "{copied:?}");
    assert_eq!(identify(&two, &[3; ENTROPY]).unwrap(), Identity::Same(copied.id().clone()));
}

#[test]
fn a_machinefile_beside_the_id_stays_tracked() {
    let stage = tempfile::tempdir().unwrap();
    std::fs::create_dir(stage.path().join(".machine")).unwrap();
    std::fs::write(stage.path().join(".machine/Machinefile"), "version: 1\n").unwrap();
    identify(stage.path(), &[1; ENTROPY]).unwrap();
    assert_eq!(std::fs::read_to_string(stage.path().join(".machine/.gitignore")).unwrap(), "/id\n");
}

#[test]
fn a_damaged_id_file_and_a_link_are_refused() {
    let stage = tempfile::tempdir().unwrap();
    std::fs::create_dir(stage.path().join(".machine")).unwrap();
    std::fs::write(stage.path().join(".machine/id"), "{").unwrap();
    assert!(matches!(identify(stage.path(), &[1; ENTROPY]), Err(IdentityError::Damaged { .. })));
    let other = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(stage.path(), other.path().join(".machine")).unwrap();
    assert!(matches!(identify(other.path(), &[1; ENTROPY]), Err(IdentityError::NotAFolder { .. })));
}

#[test]
fn those_who_ask_at_once_are_told_the_same() {
    for _ in 0..20 {
        let stage = tempfile::tempdir().unwrap();
        let begin = std::sync::Barrier::new(4);
        let ask = &|seed: u8| {
            begin.wait();
            identify(stage.path(), &[seed; ENTROPY]).unwrap().id().clone()
        };
        let told = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|seed| scope.spawn(move || ask(seed))).collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
