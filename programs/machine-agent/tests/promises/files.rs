//! Files: whole or not at all, with the rights of whoever is named.

use crate::stage::{Agent, eventually, pattern};
use machine_guest::GuestLink;
use machine_guest::protocol::{FailureCode, FileKind, GuestPath, List, Mkdir, Read, Remove, Rename, Stat, User, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

async fn put(link: &GuestLink, write: Write, bytes: &[u8]) -> u64 {
    let mut writer = link.write(write).await.unwrap();
    writer.write(bytes.to_vec()).await.unwrap();
    writer.finish().await.unwrap()
}

async fn get(link: &GuestLink, read: Read) -> Vec<u8> {
    link.read(read).await.unwrap().rest(64 * 1024 * 1024).await.unwrap().to_vec()
}

#[tokio::test]
async fn what_is_written_is_read() {
    let agent = Agent::start();
    let link = agent.link().await;
    let bytes: Vec<u8> = (0..20).flat_map(|block| pattern(block).to_vec()).collect();
    let path = agent.text("a/b/file");
    let write = Write { make_parents: true, mode: Some(0o640), ..Write::new(path.as_str()) };
    assert_eq!(put(&link, write, &bytes).await, 20 * 65_536);
    assert_eq!(get(&link, Read::new(path.as_str())).await, bytes);
    let part = Read { offset: Some(70_000), limit: Some(5), ..Read::new(path.as_str()) };
    assert_eq!(get(&link, part).await, bytes[70_000..70_005]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o640);
    assert_eq!(put(&link, Write::new(path.as_str()), b"new").await, 3);
    assert_eq!(get(&link, Read::new(path.as_str())).await, b"new");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(put(&link, Write::new(agent.text("empty")), b"").await, 0);
    assert_eq!(get(&link, Read::new(agent.text("empty"))).await, b"");
    assert!(!get(&link, Read::new("/proc/self/status")).await.is_empty());
}

#[tokio::test]
async fn a_half_written_file_is_never_seen() {
    let agent = Agent::start();
    let link = agent.link().await;
    let path = agent.path("file");
    std::fs::write(&path, "old").unwrap();
    let mut writer = link.write(Write::new(agent.text("file"))).await.unwrap();
    for block in 0..20 {
        writer.write(pattern(block)).await.unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    drop(writer);
    let parts = || std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    eventually("the part is removed", || parts() == 2).await;
    let mut writer = link.write(Write::new(agent.text("file"))).await.unwrap();
    writer.write(pattern(1)).await.unwrap();
    drop(link);
    drop(writer);
    eventually("the part of a lost session is removed", || parts() == 2).await;
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[tokio::test]
async fn a_link_is_written_through_and_a_device_in_place() {
    let agent = Agent::start();
    let link = agent.link().await;
    std::fs::write(agent.path("real"), "old").unwrap();
    symlink("real", agent.path("link")).unwrap();
    put(&link, Write::new(agent.text("link")), b"new").await;
    assert_eq!(std::fs::read(agent.path("real")).unwrap(), b"new");
    assert!(std::fs::symlink_metadata(agent.path("link")).unwrap().is_symlink());
    put(&link, Write::new("/dev/null"), b"gone").await;
    let keep = Write { truncate: false, ..Write::new(agent.text("real")) };
    put(&link, keep, b"X").await;
    assert_eq!(std::fs::read(agent.path("real")).unwrap(), b"Xew");
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let agent = Agent::start();
    let link = agent.link().await;
    let folder = agent.text("");
    let reading = |path: String| link.read(Read::new(path));
    assert_eq!(reading("/no/such".into()).await.unwrap_err().failure_code(), Some(FailureCode::NotFound));
    assert_eq!(reading(folder.clone()).await.unwrap_err().failure_code(), Some(FailureCode::IsDirectory));
    let mut writer = link.write(Write::new("/no/such/folder/file")).await.unwrap();
    let error = loop {
        if let Err(error) = writer.write(pattern(0)).await {
            break error;
        }
    };
    assert_eq!(error.failure_code(), Some(FailureCode::NotFound));
    let error = link.write(Write::new(folder.as_str())).await.unwrap().finish().await.unwrap_err();
    assert_eq!(error.failure_code(), Some(FailureCode::IsDirectory));
    let error = link.list(List::new("/etc/passwd")).await.unwrap_err();
    assert_eq!(error.failure_code(), Some(FailureCode::NotADirectory));
    link.mkdir(Mkdir::new(agent.text("full/deep"))).await.unwrap();
    let error = link.remove(Remove::new(agent.text("full"))).await.unwrap_err();
    assert_eq!(error.failure_code(), Some(FailureCode::NotEmpty));
    let again = Mkdir { parents: false, ..Mkdir::new(agent.text("full")) };
    assert_eq!(link.mkdir(again).await.unwrap_err().failure_code(), Some(FailureCode::AlreadyExists));
}

#[tokio::test]
async fn folders_are_made_listed_and_removed() {
    let agent = Agent::start();
    let link = agent.link().await;
    link.mkdir(Mkdir::new(agent.text("d/e"))).await.unwrap();
    link.mkdir(Mkdir::new(agent.text("d/e"))).await.unwrap();
    put(&link, Write::new(agent.text("d/b")), b"12345").await;
    put(&link, Write::new(agent.text("d/e/c")), b"1").await;
    symlink("b", agent.path("d/l")).unwrap();
    let shallow = link.list(List::new(agent.text("d"))).await.unwrap();
    let names = |entries: &[machine_guest::protocol::Entry]| -> Vec<String> {
        entries.iter().map(|entry| entry.path.to_string()).collect()
    };
    assert_eq!(names(&shallow), ["b", "e", "l"]);
    assert_eq!((shallow[0].stat.kind, shallow[0].stat.size), (FileKind::File, 5));
    assert_eq!(shallow[2].stat.target, Some(GuestPath::from("b")));
    let deep = link.list(List { depth: 9, ..List::new(agent.text("d")) }).await.unwrap();
    assert_eq!(names(&deep), ["b", "e", "l", "e/c"]);
    let rename = Rename { from: agent.text("d/b").into(), to: agent.text("d/z").into(), user: None };
    link.rename(rename).await.unwrap();
    assert_eq!(link.stat(Stat::new(agent.text("d/z"))).await.unwrap().size, 5);
    let link_itself = Stat { follow: false, ..Stat::new(agent.text("d/l")) };
    assert_eq!(link.stat(link_itself).await.unwrap().kind, FileKind::Symlink);
    link.remove(Remove { recursive: true, ..Remove::new(agent.text("d")) }).await.unwrap();
    assert_eq!(link.stat(Stat::new(agent.text("d"))).await.unwrap_err().failure_code(), Some(FailureCode::NotFound));
}

#[tokio::test]
async fn many_entries_are_listed() {
    let agent = Agent::start();
    let link = agent.link().await;
    std::fs::create_dir(agent.path("many")).unwrap();
    for number in 0..5000 {
        std::fs::write(agent.path("many").join(format!("file-with-a-rather-long-name-{number:05}")), "").unwrap();
    }
    let entries = link.list(List::new(agent.text("many"))).await.unwrap();
    assert_eq!(entries.len(), 5000);
    assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
}

#[tokio::test]
async fn a_users_rights_are_the_users() {
    let agent = Agent::start();
    let link = agent.link().await;
    let folder = agent.path("");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(agent.path("secret"), "s").unwrap();
    std::fs::set_permissions(agent.path("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let user = Some(User::Uid(1234));
    let denied = Some(FailureCode::PermissionDenied);
    let read = Read { user: user.clone(), ..Read::new(agent.text("secret")) };
    assert_eq!(link.read(read).await.unwrap_err().failure_code(), denied);
    let write = Write { user: user.clone(), ..Write::new(agent.text("new")) };
    assert_eq!(link.write(write).await.unwrap().finish().await.unwrap_err().failure_code(), denied);
    let remove = Remove { user: user.clone(), ..Remove::new(agent.text("secret")) };
    assert_eq!(link.remove(remove).await.unwrap_err().failure_code(), denied);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let write = Write { user, make_parents: true, ..Write::new(agent.text("sub/new")) };
    put(&link, write, b"x").await;
    assert_eq!(std::fs::metadata(agent.path("sub")).unwrap().uid(), 1234);
    assert_eq!(std::fs::metadata(agent.path("sub/new")).unwrap().uid(), 1234);
    put(&link, Write::new(agent.text("by-root")), b"x").await;
    assert_eq!(std::fs::metadata(agent.path("by-root")).unwrap().uid(), 0);
}
