//! What a hostile guest may leave in its copy, and what becomes of it here: nothing outside the folder,
//! nothing where it is guarded.

use super::*;

const GUARDED: LeftOut = LeftOut::Obstacle(Obstacle::Guarded);
const LEADS_OUT: LeftOut = LeftOut::Obstacle(Obstacle::LeadsOut);

#[test]
fn guarded_paths_stay_whatever_is_told() {
    let mut scene = Scene::new(project);
    put(&scene.guest(".git/hooks/post-checkout"), "#!/bin/sh\nevil");
    put(&scene.guest(".git/config"), "[core] fsmonitor = evil");
    put(&scene.guest(".git/index"), "fine");
    put(&scene.guest(".VSCode/tasks.json"), "evil");
    put(&scene.guest("machinefile"), "evil");
    put(&scene.guest("vendor/.git/config"), "evil");
    let left: Vec<String> = scene
        .copy_out(Conflicts::Overwritten)
        .into_iter()
        .map(|(path, why)| {
            assert_eq!(why, GUARDED, "{path}");
            path
        })
        .collect();
    assert_eq!(
        left,
        [
            ".VSCode",
            ".VSCode/tasks.json",
            ".git/config",
            ".git/hooks",
            ".git/hooks/post-checkout",
            "machinefile",
            "vendor/.git/config",
        ]
    );
    assert_eq!(fs::read_to_string(scene.here(".git/config")).unwrap(), ".git/config");
    assert!(scene.here(".git/index").exists() && !scene.here(".git/hooks").exists());
}

#[test]
fn a_guarded_path_is_not_led_elsewhere() {
    let mut scene = Scene::new(project);
    fs::remove_dir_all(scene.guest(".git")).unwrap();
    symlink("src", scene.guest(".git")).unwrap();
    let left = scene.copy_out(Conflicts::Overwritten);
    assert!(left.contains(&(".git".to_owned(), GUARDED)) && left.contains(&(".git/config".to_owned(), GUARDED)));
    assert!(scene.here(".git/config").is_file());
}

#[test]
fn all_gone_in_the_guest_leaves_what_is_guarded() {
    let mut scene = Scene::new(project);
    fs::remove_dir_all(scene.guest("")).unwrap();
    fs::create_dir(scene.guest("")).unwrap();
    let left: Vec<String> = scene.copy_out(Conflicts::Kept).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, [".git/config", ".git"]);
    assert_eq!(fs::read_dir(scene.here("")).unwrap().count(), 1);
}

#[test]
fn links_that_lead_out_are_not_made() {
    let mut scene = Scene::new(project);
    for (path, target) in
        [("abs", "/etc"), ("up", "../outside"), ("src/up", "../../outside"), ("late", "later/../../outside")]
    {
        symlink(target, scene.guest(path)).unwrap();
    }
    symlink("../README", scene.guest("src/fine")).unwrap();
    let left: Vec<String> = scene
        .copy_out(Conflicts::Overwritten)
        .into_iter()
        .map(|(path, why)| {
            assert_eq!(why, LEADS_OUT, "{path}");
            path
        })
        .collect();
    assert_eq!(left, ["abs", "late", "src/up", "up"]);
    assert_eq!(fs::read_to_string(scene.here("src/fine")).unwrap(), "README");
}

#[test]
fn nothing_is_written_through_a_link_that_is_here() {
    let mut scene = Scene::new(project);
    // Somebody here replaced the folder by a link, while the guest worked in it.
    fs::remove_dir_all(scene.here("src")).unwrap();
    symlink("../outside", scene.here("src")).unwrap();
    put(&scene.guest("src/treasure"), "lead");
    put(&scene.guest("src/main.rs"), "changed");
    fs::remove_dir_all(scene.guest("src/old")).unwrap();
    let left = scene.copy_out(Conflicts::Overwritten);
    assert_eq!(left, [("src/main.rs".to_owned(), LeftOut::NoWay), ("src/treasure".to_owned(), LeftOut::NoWay)]);
    assert!(fs::symlink_metadata(scene.here("src")).unwrap().is_symlink());
}

#[test]
fn a_link_that_is_replaced_leaves_its_target() {
    let mut scene = Scene::new(|root| {
        project(root);
        symlink("../outside/treasure", root.join("ours")).unwrap();
        symlink("../outside", root.join("ours too")).unwrap();
    });
    for path in ["ours", "ours too"] {
        fs::remove_file(scene.guest(path)).unwrap();
    }
    put(&scene.guest("ours"), "lead");
    put(&scene.guest("ours too/treasure"), "lead");
    assert_eq!(scene.copy_out(Conflicts::Kept), []);
    assert!(scene.is_same());
}

#[test]
fn what_changed_here_since_it_was_shown_stays() {
    let scene = Scene::new(project);
    put(&scene.guest("README"), "theirs");
    fs::remove_file(scene.guest("run.sh")).unwrap();
    let changes = scene.compare();
    put(&scene.here("README"), "mine, just now");
    put(&scene.here("run.sh"), "mine, just now");
    let written = scene.write_changes(&changes, Conflicts::Overwritten).unwrap();
    assert!(written.done.is_empty());
    assert!(written.left_out.iter().all(|(_, why)| *why == LeftOut::ChangedMeanwhile));
    assert_eq!(fs::read_to_string(scene.here("README")).unwrap(), "mine, just now");
}

#[test]
fn an_added_folder_does_not_empty_one_that_is_here() {
    let mut scene = Scene::new(project);
    put(&scene.here("both/mine"), "mine");
    put(&scene.guest("both/theirs"), "theirs");
    assert!(matches!(scene.compare().all[0].what, What::Added(_)));
    assert_eq!(scene.copy_out(Conflicts::Kept), []);
    assert!(scene.here("both/mine").exists() && scene.here("both/theirs").exists());
}
