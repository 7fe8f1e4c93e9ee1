//! Guarded places: readable, and not changed by any sequence of messages.

use super::*;

const CONFIG: &str = "[core]\n";

/// A repository as the host made it.
fn stage() -> Stage {
    Stage::prepared(Access::ReadWrite, &[], &[".git/hooks", ".git/config", ".vscode", "Machinefile"], |host| {
        std::fs::create_dir_all(host.join(".git/hooks")).unwrap();
        std::fs::write(host.join(".git/config"), CONFIG).unwrap();
        std::fs::write(host.join(".git/hooks/pre-commit"), "#!/bin/sh\n").unwrap();
        std::fs::write(host.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    })
}

#[track_caller]
fn untouched(stage: &Stage) {
    assert_eq!(stage.on_host(".git/config"), CONFIG);
    assert_eq!(stage.on_host(".git/hooks/pre-commit"), "#!/bin/sh\n");
    assert_eq!(std::fs::read_dir(stage.path(".git/hooks")).unwrap().count(), 1);
    assert!(!stage.path(".vscode").exists() && !stage.path("Machinefile").exists());
}

#[test]
fn what_is_guarded_can_be_read() {
    let stage = stage();
    assert_eq!(stage.read(".git/config").unwrap(), CONFIG.as_bytes());
    assert_eq!(stage.list(".git/hooks").len(), 1);
}

#[test]
fn what_is_guarded_is_not_changed() {
    let stage = stage();
    for path in [".git/config", ".git/hooks/pre-commit", ".git/hooks"] {
        let id = stage.id(path);
        refused(stage.chmod(id, 0o777));
        let times = SetattrValid::MTIME | SetattrValid::MTIME_NOW;
        refused(stage.set(id, times, SetattrIn::default()));
        refused(stage.rename(path, "elsewhere"));
    }
    for path in [".git/config", ".git/hooks/pre-commit"] {
        refused(stage.write(stage.id(path), b"evil"));
        refused(stage.truncate(stage.id(path), 0));
        refused(stage.unlink(path));
        refused(stage.link(path, "other-name"));
        let allocated = stage.folder.fallocate(somebody(), stage.id(path), 0, 0, 0, 4096);
        refused(allocated);
        refused(stage.rename(".git/HEAD", path));
        refused(stage.rename_with(".git/HEAD", path, libc::RENAME_EXCHANGE));
    }
    refused(stage.make(".git/hooks/post-checkout"));
    refused(stage.mkdir(".git/hooks/folder"));
    refused(stage.symlink("/bin/sh", ".git/hooks/post-merge"));
    refused(stage.link(".git/HEAD", ".git/hooks/post-merge"));
    refused(stage.rename(".git/HEAD", ".git/hooks/post-merge"));
    refused(stage.unlink(".git/hooks/pre-commit"));
    refused(stage.rmdir(".git/hooks"));
    untouched(&stage);
}

#[test]
fn what_is_guarded_and_missing_is_not_made() {
    let stage = stage();
    refused(stage.make("Machinefile"));
    refused(stage.symlink("x", "Machinefile"));
    refused(stage.mkdir(".vscode"));
    refused(stage.rename(".git/HEAD", "Machinefile"));
    stage.mkdir("plain").unwrap();
    refused(stage.rename("plain", ".vscode"));
    untouched(&stage);
}

#[test]
fn what_is_above_stays_where_it_is() {
    let stage = stage();
    refused(stage.rename(".git", ".git2"));
    stage.mkdir("evil").unwrap();
    stage.mkdir("evil/hooks").unwrap();
    refused(stage.rename_with("evil", ".git", libc::RENAME_EXCHANGE));
    refused(stage.rename("evil", ".git"));
    refused(stage.rmdir(".git"));
    untouched(&stage);
}

#[test]
fn nothing_stands_in_for_what_is_above() {
    let stage = Stage::new(&[], &[".git/hooks"]);
    stage.mkdir("evil").unwrap();
    stage.mkdir("evil/hooks").unwrap();
    stage.make("gitfile").unwrap();
    refused(stage.symlink("evil", ".git"));
    refused(stage.make(".git"));
    refused(stage.link("gitfile", ".git"));
    refused(stage.rename("evil", ".git"));
    refused(stage.rename("gitfile", ".git"));
    stage.mkdir(".git").unwrap();
    refused(stage.mkdir(".git/hooks"));
    refused(stage.rename("evil/hooks", ".git/hooks"));
    refused(stage.rmdir(".git"));
    stage.make(".git/HEAD").unwrap();
}

#[test]
fn another_name_of_the_host_does_not_open_what_is_guarded() {
    let stage = stage();
    std::fs::hard_link(stage.path(".git/config"), stage.path("innocent")).unwrap();
    std::fs::hard_link(stage.path(".git/hooks/pre-commit"), stage.path("harmless")).unwrap();
    for name in ["innocent", "harmless"] {
        let id = stage.id(name);
        refused(stage.write(id, b"evil"));
        refused(stage.truncate(id, 0));
        refused(stage.chmod(id, 0o777));
        refused(stage.link(name, "third"));
        let to = (id, 0);
        let copied = stage.folder.copyfilerange(somebody(), stage.id(".git/HEAD"), 0, 0, to.0, 0, to.1, 4, 0);
        refused(copied);
    }
    untouched(&stage);
}

#[test]
fn a_name_that_goes_does_not_open_the_guarded_one() {
    let stage = stage();
    std::fs::hard_link(stage.path(".git/hooks/pre-commit"), stage.path("harmless")).unwrap();
    let id = stage.id("harmless");
    std::fs::remove_file(stage.path("harmless")).unwrap();
    refused(stage.write(id, b"evil"));
    untouched(&stage);
}

#[test]
fn other_files_with_two_names_are_changed() {
    let stage = stage();
    let made = stage.make("one").unwrap();
    stage.link("one", "two").unwrap();
    stage.write(made.inode, b"both").unwrap();
    assert_eq!(stage.on_host("two"), "both");
}

#[test]
fn what_the_host_moves_is_judged_by_where_it_is() {
    let stage = stage();
    let (hooks, config) = (stage.id(".git/hooks"), stage.id(".git/config"));
    stage.mkdir("draft").unwrap();
    stage.mkdir("draft/hooks").unwrap();
    let draft = stage.id("draft/hooks");
    std::fs::rename(stage.path(".git"), stage.path("old")).unwrap();
    std::fs::rename(stage.path("draft"), stage.path(".git")).unwrap();
    let make = |folder| {
        let mode = libc::S_IFREG | 0o755;
        stage.folder.mknod(somebody(), folder, c"post-merge", mode, 0, 0, Extensions::default())
    };
    refused(make(draft));
    make(hooks).unwrap();
    stage.write(config, b"free").unwrap();
}

#[test]
fn what_the_host_moved_out_of_the_folder_is_not_changed() {
    let outside = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    let stage = stage();
    let made = stage.mkdir("plain").unwrap();
    std::fs::rename(stage.path("plain"), outside.path().join("plain")).unwrap();
    let answer = stage.folder.mkdir(somebody(), made.inode, c"new", 0o755, 0, Extensions::default());
    refused_as(answer, Errno::STALE);
}

#[test]
fn a_guarded_link_of_the_host_guards_what_it_leads_to() {
    let stage = Stage::prepared(Access::ReadWrite, &[], &[".vscode"], |host| {
        std::fs::create_dir_all(host.join("settings/vscode")).unwrap();
        std::fs::write(host.join("settings/vscode/tasks.json"), "{}").unwrap();
        std::os::unix::fs::symlink("settings/vscode", host.join(".vscode")).unwrap();
    });
    refused(stage.write(stage.id("settings/vscode/tasks.json"), b"evil"));
    refused(stage.unlink(".vscode"));
    refused(stage.rename("settings", "elsewhere"));
    stage.make("settings/other").unwrap();
}

#[test]
fn the_machine_is_told_of_a_change_without_one() {
    let stage = stage();
    let size = CONFIG.len() as u64;
    assert_eq!(stage.truncate(stage.id(".git/config"), size).unwrap().size, size);
    untouched(&stage);
}

#[test]
fn the_rest_is_free() {
    let stage = stage();
    stage.write(stage.id(".git/HEAD"), b"ref").unwrap();
    stage.make(".git/index.lock").unwrap();
    stage.rename(".git/index.lock", ".git/index").unwrap();
    stage.unlink(".git/index").unwrap();
    stage.mkdir("src").unwrap();
    stage.make("src/Machinefile").unwrap();
}
