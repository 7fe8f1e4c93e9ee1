//! Excluded places: an empty folder that cannot be changed, whatever the host has there.

use super::*;

fn stage() -> Stage {
    Stage::prepared(Access::ReadWrite, &["target", "web/node_modules", "secret"], &[], |host| {
        std::fs::create_dir_all(host.join("target/debug")).unwrap();
        std::fs::write(host.join("target/debug/app"), "app").unwrap();
        std::fs::create_dir(host.join("web")).unwrap();
        std::fs::write(host.join("secret"), "secret").unwrap();
    })
}

#[test]
fn an_excluded_name_is_an_empty_folder_whatever_the_host_has() {
    let stage = stage();
    for path in ["target", "web/node_modules", "secret"] {
        let found = stage.find(path).unwrap();
        assert_eq!(found.attr.mode, libc::S_IFDIR | 0o555, "{path}");
        assert!(stage.list(path).is_empty());
        let answer = stage.folder.lookup(somebody(), found.inode, c"debug").map(drop);
        refused_as(answer, Errno::NOENT);
    }
}

#[test]
fn an_excluded_name_is_listed_once_as_a_folder() {
    let stage = stage();
    let folder = u32::from(libc::DT_DIR);
    let listed = |path| stage.list(path);
    let expected = ["secret", "target", "web"].map(|name| (name.to_owned(), folder));
    assert_eq!(listed(""), expected);
    assert_eq!(listed("web"), [("node_modules".to_owned(), folder)]);
}

#[test]
fn an_excluded_folder_is_not_changed() {
    let stage = stage();
    let id = stage.id("target");
    refused(stage.folder.mkdir(somebody(), id, c"new", 0o755, 0, Extensions::default()));
    refused(stage.folder.mknod(somebody(), id, c"new", libc::S_IFREG | 0o644, 0, 0, Extensions::default()));
    refused(stage.folder.symlink(somebody(), c"x", id, c"new", Extensions::default()));
    refused(stage.folder.unlink(somebody(), id, c"debug"));
    refused(stage.chmod(id, 0o777));
    refused(stage.write(id, b"x"));
    refused(stage.rename("target", "mine"));
    refused(stage.rename("web", "target"));
    refused(stage.rmdir("target"));
    refused(stage.unlink("secret"));
    assert_eq!(stage.on_host("target/debug/app"), "app");
}

#[test]
fn an_excluded_name_is_not_made_and_its_content_does_not_come_to_light() {
    let stage = stage();
    std::fs::create_dir_all(stage.path("web/node_modules/private")).unwrap();
    refused(stage.mkdir("web/node_modules"));
    refused(stage.rename("web", "web2"));
    stage.mkdir("other").unwrap();
    refused(stage.rename_with("web", "other", libc::RENAME_EXCHANGE));
    assert!(stage.list("web/node_modules").is_empty());
}
