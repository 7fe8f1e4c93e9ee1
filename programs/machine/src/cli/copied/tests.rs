//! Honest and hostile guests against a folder here: what is found, and what is written. The guest is a tree
//! in a draft, as it is when its stream was unpacked.

mod hostile;
mod repeated;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::changes::{Changes, Obstacle, What, compare};
use super::guard::Guards;
use super::inside::Inside;
use super::place::{Place, Tree};
use super::render::{document, render, summary};
use super::write::{Conflicts, LeftOut, WriteError, Written, write};
use crate::cli::paint::Paint;

/// A folder here, the guest's copy of it, and a place outside that must stay as it is.
struct Scene {
    folder: tempfile::TempDir,
    agreed: Tree,
}

impl Scene {
    /// Both sides are so at first.
    fn new(build: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for side in ["here", "guest", "outside"] {
            fs::create_dir(folder.path().join(side)).unwrap();
        }
        fs::write(folder.path().join("outside/treasure"), "gold").unwrap();
        build(&folder.path().join("here"));
        build(&folder.path().join("guest"));
        let agreed = Place::open(&folder.path().join("here")).unwrap().tree().unwrap();
        Self { folder, agreed }
    }

    fn here(&self, path: &str) -> PathBuf {
        self.folder.path().join("here").join(path)
    }

    fn guest(&self, path: &str) -> PathBuf {
        self.folder.path().join("guest").join(path)
    }

    fn places(&self) -> (Place, Place) {
        (Place::open(&self.guest("")).unwrap(), Place::open(&self.here("")).unwrap())
    }

    fn compare(&self) -> Changes {
        let (guest, here) = self.places();
        let guards = Guards::new(&[".git/hooks".into(), ".git/config".into(), ".vscode".into(), "Machinefile".into()]);
        compare(&self.agreed, &guest.tree().unwrap(), &guards, &here).unwrap()
    }

    /// The lines that a person sees.
    fn seen(&self) -> Vec<String> {
        render(&self.compare(), Paint::Plain).lines().map(str::to_owned).collect()
    }

    fn write_changes(&self, changes: &Changes, conflicts: Conflicts) -> Result<Written, WriteError> {
        let (guest, here) = self.places();
        write(&changes.all, &guest, &here, conflicts, &AtomicBool::new(false))
    }

    /// Writes all, agrees on it, and gives what was left out. Outside, nothing happened.
    fn copy_out(&mut self, conflicts: Conflicts) -> Vec<(String, LeftOut)> {
        let changes = self.compare();
        let written = self.write_changes(&changes, conflicts).unwrap();
        for (path, entry) in changes.same.into_iter().chain(written.done) {
            match entry {
                Some(entry) => drop(self.agreed.insert(path, entry)),
                None => drop(self.agreed.remove(&path)),
            }
        }
        let outside = self.folder.path().join("outside");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(outside.join("treasure")).unwrap(), "gold");
        let told = |(path, why): (Inside, LeftOut)| (path.path().to_string_lossy().into_owned(), why);
        written.left_out.into_iter().map(told).collect()
    }

    /// Both sides are the same now, and nothing is left of the way there.
    fn is_same(&self) -> bool {
        let (guest, here) = self.places();
        guest.tree().unwrap() == here.tree().unwrap()
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn project(root: &Path) {
    for path in ["src/main.rs", "src/old/a", "src/old/b", "run.sh", "README", ".git/config", ".git/HEAD"] {
        put(&root.join(path), path);
    }
    symlink("README", root.join("link")).unwrap();
}

#[test]
fn nothing_changed_is_nothing_to_show() {
    let scene = Scene::new(project);
    assert_eq!(scene.compare(), Changes::default());
}

#[test]
fn each_sort_of_change_is_seen_and_comes_out() {
    let mut scene = Scene::new(project);
    put(&scene.guest("src/main.rs"), "changed");
    put(&scene.guest("new/deep/file"), "new");
    chmod(&scene.guest("run.sh"), 0o4755);
    fs::remove_dir_all(scene.guest("src/old")).unwrap();
    fs::remove_file(scene.guest("link")).unwrap();
    symlink("src/main.rs", scene.guest("link")).unwrap();
    fs::remove_file(scene.guest("README")).unwrap();
    put(&scene.guest("README/now/a folder"), "x");
    assert_eq!(
        scene.seen(),
        [
            "T  README/  (file to folder)",
            "A  README/now/",
            "A  README/now/a folder",
            "M  link -> src/main.rs",
            "A  new/",
            "A  new/deep/",
            "A  new/deep/file",
            "P  run.sh  (mode 644 to 755)",
            "M  src/main.rs",
            "D  src/old/",
            "D  src/old/a",
            "D  src/old/b",
        ]
    );
    assert_eq!(summary(scene.compare().counts()), "5 added, 4 modified, 3 deleted");
    assert_eq!(scene.copy_out(Conflicts::Kept), []);
    assert!(scene.is_same());
    assert_eq!(fs::metadata(scene.here("run.sh")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(scene.compare(), Changes::default());
}

#[test]
fn a_folder_becomes_a_file_when_all_in_it_goes() {
    let mut scene = Scene::new(project);
    fs::remove_dir_all(scene.guest("src")).unwrap();
    put(&scene.guest("src"), "a file");
    put(&scene.here("src/mine"), "only here");
    assert_eq!(scene.copy_out(Conflicts::Kept), [("src".to_owned(), LeftOut::NotEmpty)]);
    assert_eq!(fs::read_to_string(scene.here("src/mine")).unwrap(), "only here");
    fs::remove_file(scene.here("src/mine")).unwrap();
    assert_eq!(scene.copy_out(Conflicts::Kept), []);
    assert!(scene.is_same());
}

#[test]
fn what_was_changed_on_both_sides_stays_until_told() {
    let mut scene = Scene::new(project);
    for (guest, here) in [("src/main.rs", Some("mine")), ("README", None), ("new", Some("mine, too"))] {
        put(&scene.guest(guest), "theirs");
        match here {
            Some(text) => put(&scene.here(guest), text),
            None => fs::remove_file(scene.here(guest)).unwrap(),
        }
    }
    // Both deleted it, both made it the same: no change.
    fs::remove_file(scene.guest("run.sh")).unwrap();
    fs::remove_file(scene.here("run.sh")).unwrap();
    put(&scene.guest("same"), "same");
    put(&scene.here("same"), "same");
    let conflict = LeftOut::Obstacle(Obstacle::Conflict);
    let left: Vec<_> = ["README", "new", "src/main.rs"].map(|path| (path.to_owned(), conflict)).into();
    assert_eq!(scene.copy_out(Conflicts::Kept), left);
    assert_eq!(fs::read_to_string(scene.here("src/main.rs")).unwrap(), "mine");
    assert!(!scene.here("README").exists());
    assert_eq!(scene.copy_out(Conflicts::Overwritten), []);
    assert!(scene.is_same());
}

#[test]
fn strange_names_are_shown_safely_and_come_out_as_they_are() {
    let mut scene = Scene::new(project);
    for name in [&b"a\nb"[..], b"\xff\xfe", b"\x1b[31mred", b"50%", b"--force", b" "] {
        fs::write(scene.guest("").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let expected = ["A  \\u{1b}[31mred", "A   ", "A  --force", "A  50%", "A  a\\nb", "A  \\xff\\xfe"];
    assert_eq!(scene.seen(), expected);
    let paths: Vec<_> = document(&scene.compare()).as_array().unwrap().iter().map(|c| c["path"].clone()).collect();
    assert!(paths.contains(&"%FF%FE".into()) && paths.contains(&"50%25".into()) && paths.contains(&"a\nb".into()));
    assert_eq!(scene.copy_out(Conflicts::Kept), []);
    assert!(scene.is_same());
}

#[test]
fn many_files_take_no_time() {
    let mut scene = Scene::new(project);
    for number in 0..10_000 {
        put(&scene.guest(&format!("many/{}/{number}", number % 100)), "x");
    }
    let begun = std::time::Instant::now();
    let changes = scene.compare();
    assert_eq!(changes.counts().added, 10_101);
    assert_eq!(scene.copy_out(Conflicts::Kept), []);
    assert!(scene.is_same());
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}
