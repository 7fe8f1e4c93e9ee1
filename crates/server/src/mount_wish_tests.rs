//! What may be mounted, and how it is said what may not.

use std::fs;
use std::os::unix::fs::symlink;

use machine_core::mount::Access;
use serde_json::{Value, json};

use super::*;

fn parse(wishes: &Value) -> Result<Vec<MountSpec>, Refusal> {
    mounts(&serde_json::from_value::<Vec<Mount>>(wishes.clone()).unwrap())
}

fn refused(wishes: &Value, names: &[&str]) {
    let refusal = parse(wishes).expect_err(names[0]);
    for name in names {
        assert!(refusal.message.contains(name), "{wishes}: {}", refusal.message);
    }
}

/// A folder without links on the way.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    (folder, real)
}

#[test]
fn a_folder_is_mounted_as_it_was_asked_for() {
    let (_kept, source) = folder();
    let read = parse(&json!([
        {"source": source, "target": "/workspace"},
        {"source": source, "target": "/srv/again", "access": "read_only",
         "exclude": ["node_modules", "a/b"], "guard": [".git/hooks"]},
    ]));
    let read = read.unwrap();
    assert_eq!((read[0].access, read[1].access), (Access::ReadWrite, Access::ReadOnly));
    assert_eq!(
        (read[1].exclude.clone(), read[1].guard.clone()),
        (vec!["node_modules".into(), "a/b".into()], vec![".git/hooks".to_owned()])
    );
    assert_eq!(read[0].source.to_str(), Some(source.as_str()));
}

#[test]
fn a_source_is_a_folder_of_the_host_by_its_true_name() {
    let (kept, source) = folder();
    fs::write(kept.path().join("file"), "").unwrap();
    symlink(&source, kept.path().join("link")).unwrap();
    fs::create_dir(kept.path().join("real")).unwrap();
    for (asked, says) in [
        ("relative".to_owned(), "not an absolute path"),
        (String::new(), "not an absolute path"),
        ("/".to_owned(), "whole file system"),
        ("/proc/self/root".to_owned(), "whole file system"),
        (format!("{source}/gone"), "cannot be looked at"),
        (format!("{source}/file"), "not a folder"),
        (format!("{source}/link"), &format!("say '{source}'")),
        (format!("{source}/link/real"), &format!("say '{source}/real'")),
        (format!("{source}/"), &format!("say '{source}'")),
        (format!("{source}/real/.."), &format!("say '{source}'")),
        (format!("{source}\n"), "control characters"),
        ("/x".repeat(600), "longer than"),
    ] {
        refused(&json!([{"source": asked, "target": "/work"}]), &["mounts[0].source: ", says]);
    }
}

#[test]
fn a_target_is_a_plain_path_that_is_not_the_systems() {
    let (_kept, source) = folder();
    for target in [
        "",
        "work",
        "/",
        "//work",
        "/work/",
        "/work/../etc",
        "/./work",
        "/proc",
        "/proc/x",
        "/sys",
        "/dev/shm",
        "/run",
        "/usr",
        "/usr/bin",
        "/usr/lib/x",
        "/usr/local",
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/lib/modules",
        "/etc",
        "/etc/ssh",
        "/boot",
        "/var",
        "/home",
        "/tmp",
        "/wo\u{7}rk",
    ] {
        refused(&json!([{"source": source, "target": target}]), &["mounts[0].target: "]);
    }
    for target in ["/workspace", "/var/lib/x", "/tmp/x", "/usr/local/src", "/libraries", "/mnt", "/a b"] {
        assert!(parse(&json!([{"source": source, "target": target}])).is_ok(), "{target}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let (_kept, source) = folder();
    let work = json!({"source": source, "target": "/work"});
    refused(&json!([work, work]), &["mounts[1].target: taken by mounts[0]"]);
    refused(
        &json!([
            {"source": source, "target": "/work", "exclude": ["ok", "../out", "/abs", ""], "guard": ["a/./b"]},
            {"source": "here", "target": "/"},
        ]),
        &[
            "mounts[0].exclude[1]",
            "mounts[0].exclude[2]",
            "mounts[0].exclude[3]",
            "mounts[0].guard[0]",
            "mounts[1].source",
            "mounts[1].target",
        ],
    );
    let many: Vec<Value> = (0..4).map(|n| json!({"source": source, "target": format!("/work{n}")})).collect();
    refused(&json!(many), &["at most 3"]);
}
