//! Writing that is stopped, and begun again: whole files alone are under their names, and the repeat
//! finishes it.

use std::sync::atomic::Ordering;

use super::*;

/// Many changes of each sort.
fn changed() -> Scene {
    let scene = Scene::new(|root| {
        project(root);
        put(&root.join("tofile/a/b"), "x");
        put(&root.join("tofolder"), "x");
    });
    put(&scene.guest("src/main.rs"), "changed");
    put(&scene.guest("new/file"), "new");
    chmod(&scene.guest("new"), 0o555);
    fs::remove_dir_all(scene.guest("src/old")).unwrap();
    fs::remove_dir_all(scene.guest("tofile")).unwrap();
    put(&scene.guest("tofile"), "file");
    fs::remove_file(scene.guest("tofolder")).unwrap();
    put(&scene.guest("tofolder/x"), "x");
    scene
}

#[test]
fn stopped_after_any_change_a_repeat_finishes_it() {
    let count = changed().compare().all.len();
    for done in 0..=count {
        let mut scene = changed();
        let changes = scene.compare();
        // As if it had ended there: the ledger does not know of what was written.
        let (first, last): (Vec<_>, Vec<_>) = changes.all.iter().cloned().partition(|change| change.now().is_some());
        let order: Vec<_> = first.into_iter().chain(last.into_iter().rev()).take(done).collect();
        let part = Changes { all: order, same: Vec::new() };
        scene.write_changes(&part, Conflicts::Kept).unwrap();
        let left = scene.copy_out(Conflicts::Kept);
        let left = if left.is_empty() { left } else { scene.copy_out(Conflicts::Kept) };
        assert_eq!(left, [], "after {done} of {count}");
        assert!(scene.is_same(), "after {done} of {count}");
    }
}

#[test]
fn a_stop_is_heard_before_the_next_change() {
    let scene = changed();
    let (guest, here) = scene.places();
    let (changes, stop) = (scene.compare(), AtomicBool::new(false));
    stop.store(true, Ordering::Relaxed);
    let stopped = write(&changes.all, &guest, &here, Conflicts::Kept, &stop);
    assert!(matches!(stopped, Err(WriteError::Interrupted)));
    assert_eq!(scene.compare().all.len(), changes.all.len());
}

#[test]
fn what_a_killed_one_left_is_swept_but_nothing_else() {
    let mut scene = Scene::new(project);
    put(&scene.here("src/.machine-sync-0123456789abcdef"), "half");
    put(&scene.here("src/.machine-sync-mine"), "mine");
    put(&scene.here(".machine-sync-0123456789abcdef/not empty"), "mine");
    put(&scene.guest("src/main.rs"), "changed");
    put(&scene.guest("README"), "changed");
    assert_eq!(scene.copy_out(Conflicts::Kept), []);
    assert!(!scene.here("src/.machine-sync-0123456789abcdef").exists());
    assert!(scene.here("src/.machine-sync-mine").exists());
    assert!(scene.here(".machine-sync-0123456789abcdef/not empty").exists());
}
