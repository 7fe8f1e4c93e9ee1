//! A folder without rules: what is promised of every file.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant, SystemTime};

use super::*;

#[test]
fn what_the_machine_makes_is_on_the_host_and_appears_to_be_its_users() {
    let stage = Stage::new(&[], &[]);
    stage.mkdir("a").unwrap();
    let made = stage.make("a/b").unwrap();
    stage.write(made.inode, b"hello").unwrap();
    assert_eq!(stage.on_host("a/b"), "hello");
    let found = stage.find("a/b").unwrap();
    assert_eq!((found.inode, found.attr.size), (made.inode, 5));
    assert_eq!((u32::from_ne(found.attr.uid), u32::from_ne(found.attr.gid)), (1000, 1001));
    assert_eq!(std::fs::metadata(stage.path("a/b")).unwrap().uid(), rustix::process::getuid().as_raw());
    assert_eq!(stage.read("a/b").unwrap(), b"hello");
}

/// The ids of the machine print as numbers.
trait Plain {
    fn from_ne(id: impl std::fmt::Display) -> u32;
}

impl Plain for u32 {
    fn from_ne(id: impl std::fmt::Display) -> u32 {
        id.to_string().parse().unwrap()
    }
}

#[test]
fn a_change_of_owner_changes_nothing() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap();
    let before = std::fs::metadata(stage.path("a")).unwrap();
    let asked = SetattrIn { uid: 7.into(), gid: 7.into(), ..SetattrIn::default() };
    stage.set(made.inode, SetattrValid::UID | SetattrValid::GID, asked).unwrap();
    let after = std::fs::metadata(stage.path("a")).unwrap();
    assert_eq!((after.uid(), after.ctime_nsec()), (before.uid(), before.ctime_nsec()));
}

#[test]
fn a_symbolic_link_is_text_that_nobody_follows() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let stage = Stage::new(&[], &[]);
    let link = stage.symlink(outside.path().to_str().unwrap(), "link").unwrap();
    assert_eq!(stage.folder.readlink(somebody(), link.inode).unwrap(), outside.path().as_os_str().as_bytes());
    refused_as(stage.folder.lookup(somebody(), link.inode, c"secret").map(drop), Errno::NOTDIR);
    refused_as(stage.folder.mkdir(somebody(), link.inode, c"new", 0o755, 0, Extensions::default()), Errno::NOTDIR);
    refused_as(stage.folder.readdir(somebody(), link.inode, 0, 4096, 0).map(drop), Errno::NOTDIR);
    refused_as(stage.write(link.inode, b"x"), Errno::INVAL);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn no_name_leads_up_or_elsewhere() {
    let stage = Stage::new(&[], &[]);
    stage.mkdir("a").unwrap();
    for name in ["..", ".", "", "/etc", "a/b", "../x"] {
        let name = named(name);
        refused_as(stage.folder.lookup(somebody(), ROOT_ID, &name).map(drop), Errno::INVAL);
        refused_as(stage.folder.mkdir(somebody(), ROOT_ID, &name, 0o755, 0, Extensions::default()), Errno::INVAL);
        refused_as(stage.folder.unlink(somebody(), ROOT_ID, &name), Errno::INVAL);
        let rename = FileSystem::rename(&stage.folder, somebody(), ROOT_ID, c"a", ROOT_ID, &name, 0);
        refused_as(rename, Errno::INVAL);
    }
    refused_as(stage.folder.getattr(somebody(), 99, None).map(drop), Errno::STALE);
}

#[test]
fn names_are_bytes() {
    let stage = Stage::new(&["out"], &["in"]);
    let name = named(b"two\nlines \xff\xfe");
    stage.folder.mkdir(somebody(), ROOT_ID, &name, 0o755, 0, Extensions::default()).unwrap();
    let made = std::fs::read_dir(stage.host.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(made.file_name().as_bytes(), name.as_bytes());
    stage.folder.rmdir(somebody(), ROOT_ID, &name).unwrap();
}

#[test]
fn bits_that_give_rights_and_devices_are_refused() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap();
    refused(stage.chmod(made.inode, 0o4755));
    refused(stage.chmod(made.inode, 0o2755));
    refused(stage.mknod("b", libc::S_IFREG | 0o4755));
    refused(stage.mknod("c", libc::S_IFCHR | 0o600));
    refused(stage.mknod("d", libc::S_IFBLK | 0o600));
    stage.chmod(made.inode, 0o1755).unwrap();
    assert_eq!(stage.list("").len(), 1);
}

#[test]
fn a_fifo_of_the_host_is_never_opened() {
    let stage = Stage::new(&[], &[]);
    rustix::fs::mknodat(rustix::fs::CWD, stage.path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let begun = Instant::now();
    refused_as(stage.read("fifo"), Errno::INVAL);
    refused_as(stage.write(stage.id("fifo"), b"x"), Errno::INVAL);
    refused_as(stage.truncate(stage.id("fifo"), 9), Errno::INVAL);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_is_already_so_touches_nothing() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap();
    stage.write(made.inode, b"hello").unwrap();
    let before = std::fs::metadata(stage.path("a")).unwrap();
    let told = stage.truncate(made.inode, 5).unwrap();
    stage.chmod(made.inode, 0o644).unwrap();
    let after = std::fs::metadata(stage.path("a")).unwrap();
    assert_eq!((after.ctime(), after.ctime_nsec()), (before.ctime(), before.ctime_nsec()));
    assert_eq!(told.size, 5);
    stage.truncate(made.inode, 4).unwrap();
    assert_eq!(stage.on_host("a"), "hell");
}

#[test]
fn emptying_an_empty_file_renews_its_time() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("stamp").unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    File::options().write(true).open(stage.path("stamp")).unwrap().set_modified(old).unwrap();
    stage.truncate(made.inode, 0).unwrap();
    assert_ne!(std::fs::metadata(stage.path("stamp")).unwrap().modified().unwrap(), old);
}

#[test]
fn who_made_a_file_read_only_may_go_on_writing() {
    let stage = Stage::new(&[], &[]);
    let made = stage.mknod("object", libc::S_IFREG | 0o444).unwrap();
    stage.write(made.inode, b"hello").unwrap();
    assert_eq!(stage.on_host("object"), "hello");
    assert_eq!(std::fs::metadata(stage.path("object")).unwrap().permissions().mode() & 0o777, 0o444);
}

#[test]
fn what_goes_to_the_end_goes_behind_what_the_host_added() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("log").unwrap();
    std::fs::write(stage.path("log"), "host\n").unwrap();
    let flags = libc::O_APPEND.cast_unsigned();
    let bytes = Bytes(b"machine\n".to_vec());
    stage.folder.write(somebody(), made.inode, 0, bytes, 8, 0, None, false, false, flags).unwrap();
    assert_eq!(stage.on_host("log"), "host\nmachine\n");
}

#[test]
fn a_file_stays_itself_when_the_host_moves_it() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap();
    std::fs::rename(stage.path("a"), stage.path("b")).unwrap();
    assert_eq!(stage.find("b").unwrap().inode, made.inode);
    stage.write(made.inode, b"x").unwrap();
    assert_eq!(stage.on_host("b"), "x");
}

#[test]
fn what_was_forgotten_is_unknown_and_what_is_told_again_is_known() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap().inode;
    assert_eq!(stage.id("a"), made);
    stage.folder.forget(somebody(), made, 1);
    stage.folder.getattr(somebody(), made, None).unwrap();
    stage.folder.forget(somebody(), made, 9);
    refused_as(stage.folder.getattr(somebody(), made, None).map(drop), Errno::STALE);
    stage.folder.getattr(somebody(), stage.id("a"), None).unwrap();
}

#[test]
fn a_large_folder_is_listed_whole() {
    let stage = Stage::new(&[], &[]);
    for number in 0..2000 {
        std::fs::write(stage.path(&format!("file-{number}")), "").unwrap();
    }
    let listed = stage.list("");
    assert_eq!(listed.len(), 2000);
    assert!(listed.iter().all(|(_, kind)| *kind == u32::from(libc::DT_REG)));
}

#[test]
fn a_folder_to_read_is_only_read() {
    let stage = Stage::prepared(Access::ReadOnly, &[], &[], |host| std::fs::write(host.join("a"), "hello").unwrap());
    let known = stage.id("a");
    refused_as(stage.write(known, b"x"), Errno::ROFS);
    refused_as(stage.truncate(known, 0), Errno::ROFS);
    refused_as(stage.chmod(known, 0o600), Errno::ROFS);
    refused_as(stage.make("b"), Errno::ROFS);
    refused_as(stage.mkdir("b"), Errno::ROFS);
    refused_as(stage.symlink("a", "b"), Errno::ROFS);
    refused_as(stage.link("a", "b"), Errno::ROFS);
    refused_as(stage.rename("a", "b"), Errno::ROFS);
    refused_as(stage.unlink("a"), Errno::ROFS);
    stage.truncate(known, 5).unwrap();
    assert_eq!(stage.read("a").unwrap(), b"hello");
}

#[test]
fn more_files_than_descriptors_are_all_known() {
    let mut stage = Stage::new(&[], &[]);
    std::sync::Arc::get_mut(&mut stage.folder.0).unwrap().nodes.most = 8;
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    stage.mkdir("a").unwrap();
    let made: Vec<u64> = (0..500).map(|number| stage.make(&format!("a/{number}")).unwrap().inode).collect();
    stage.rename("a/0", "moved").unwrap();
    stage.write(made[0], b"hello").unwrap();
    assert_eq!(stage.on_host("moved"), "hello");
    for (number, id) in made.iter().enumerate().skip(1) {
        stage.write(*id, b"x").unwrap();
        assert_eq!(stage.id(&format!("a/{number}")), *id);
    }
    std::fs::remove_file(stage.path("a/8")).unwrap();
    refused_as(stage.write(made[8], b"x"), Errno::STALE);
    // Other tests of this process have descriptors, too.
    assert!(descriptors() < before + 300);
}
