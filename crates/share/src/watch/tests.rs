//! What a reader is told of a real folder.

use std::fs;
use std::io::Read;
use std::path::Path;

use rustix::fs::open;
use serde_json::Value;
use tempfile::TempDir;
use virtiofsd::filesystem::{Context, Extensions, FileSystem, ROOT_ID};

use super::*;
use crate::folder::{Answering, SharedFolder};
use crate::plan::{Access, Cache, Owner, SharePlan};

struct Stage {
    host: TempDir,
    run: TempDir,
    folder: Answering,
    reader: UnixStream,
}

fn plan(host: &Path, run: &Path, folders: usize) -> SharePlan {
    SharePlan {
        socket: run.join("share"),
        folder: host.to_owned(),
        access: Access::ReadWrite,
        owner: Owner { host_uid: 0, host_gid: 0, guest_uid: 0, guest_gid: 0 },
        exclude: vec!["target".to_owned()],
        guard: Vec::new(),
        cache: Cache::default(),
        watch: Some(Watch { socket: run.join("watch"), settle_ms: 30, folders }),
    }
}

impl Stage {
    fn new(folders: usize) -> Self {
        Self::seeing(folders, |_| ())
    }

    /// The same; `first` is shown what a new reader is told.
    fn seeing(folders: usize, first: impl FnOnce(&Value)) -> Self {
        let (host, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(host.path().join("src/deep")).unwrap();
        fs::create_dir(host.path().join("target")).unwrap();
        fs::write(host.path().join("src/a"), "a").unwrap();
        let plan = plan(host.path(), run.path(), folders);
        let rules = Rules::of(&plan).unwrap();
        let path = |path: &Path| open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (root, descriptors) = (path(host.path()), path("/proc/self/fd".as_ref()));
        let settings = (plan.access, plan.owner, plan.cache);
        let folder = SharedFolder::new(root, descriptors, rules.clone(), settings, 1000).unwrap();
        let watch = plan.watch.unwrap();
        let listener = UnixListener::bind(&watch.socket).unwrap();
        start(path(host.path()), rules, (folder.own_changes(), folder.slept()), (watch.clone(), listener)).unwrap();
        let reader = connect(&watch.socket);
        let folder = Answering(Arc::new(folder));
        let mut stage = Self { host, run, folder, reader };
        let batch = stage.next();
        assert_eq!(batch["rescan"], serde_json::json!([""]), "a new reader looks at everything");
        first(&batch);
        stage
    }

    /// What a new reader is told first.
    fn first(&mut self) -> Value {
        self.reader = self.another_reader();
        self.next()
    }

    fn another_reader(&self) -> UnixStream {
        connect(&self.run.path().join("watch"))
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.host.path().join(path)
    }

    fn next(&mut self) -> Value {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length).unwrap();
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.reader.read_exact(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// All that is told until a change of `last`, without it.
    fn until(&mut self, last: &str) -> Vec<(String, String)> {
        let mut told = Vec::new();
        loop {
            let batch = self.next();
            assert_eq!(batch["rescan"], serde_json::json!([]));
            for change in batch["changes"].as_array().unwrap() {
                let word = |name: &str| change[name].as_str().unwrap().to_owned();
                told.push((word("path"), word("kind")));
            }
            if told.iter().any(|(path, _)| path == last) {
                told.retain(|(path, _)| path != last);
                return told;
            }
        }
    }

    /// A change of the host that is told for certain, after all before it.
    fn then(&mut self) -> Vec<(String, String)> {
        fs::write(self.path("last"), format!("{:?}", Instant::now())).unwrap();
        self.until("last")
    }
}

fn connect(socket: &Path) -> UnixStream {
    let reader = UnixStream::connect(socket).unwrap();
    reader.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    reader
}

fn told(path: &str, kind: &str) -> (String, String) {
    (path.to_owned(), kind.to_owned())
}

fn somebody() -> Context {
    Context { uid: 0.into(), gid: 0.into(), pid: 1 }
}

#[test]
fn changes_of_the_host_are_told() {
    let mut stage = Stage::new(100);
    fs::write(stage.path("src/a"), "changed").unwrap();
    assert_eq!(stage.then(), [told("src/a", "modified")]);
    fs::remove_file(stage.path("src/a")).unwrap();
    assert_eq!(stage.then(), [told("src/a", "removed")]);
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(stage.path("src/deep"), readable).unwrap();
    assert_eq!(stage.then(), [told("src/deep", "attributes")]);
}

#[test]
fn new_folders_are_followed_and_moved_ones_under_their_new_name() {
    let mut stage = Stage::new(100);
    fs::create_dir_all(stage.path("new/er")).unwrap();
    fs::write(stage.path("new/er/file"), "x").unwrap();
    let mut seen = stage.then();
    seen.sort();
    assert_eq!(seen, [told("new", "created"), told("new/er", "created"), told("new/er/file", "created")]);
    fs::rename(stage.path("new"), stage.path("old")).unwrap();
    stage.then();
    fs::write(stage.path("old/er/file"), "y").unwrap();
    assert_eq!(stage.then(), [told("old/er/file", "modified")]);
}

#[test]
fn what_is_excluded_is_not_told() {
    let mut stage = Stage::new(100);
    fs::write(stage.path("target/x"), "x").unwrap();
    fs::create_dir(stage.path("target/y")).unwrap();
    assert_eq!(stage.then(), []);
}

#[test]
fn what_the_machine_did_is_not_told_and_what_the_host_does_after_it_is() {
    let mut stage = Stage::new(100);
    let made = stage.folder.mkdir(somebody(), ROOT_ID, c"made", 0o755, 0, Extensions::default()).unwrap();
    let mode = libc::S_IFREG | 0o644;
    stage.folder.mknod(somebody(), made.inode, c"file", mode, 0, 0, Extensions::default()).unwrap();
    stage.folder.mknod(somebody(), made.inode, c"gone", mode, 0, 0, Extensions::default()).unwrap();
    stage.folder.unlink(somebody(), made.inode, c"gone").unwrap();
    FileSystem::rename(&stage.folder, somebody(), made.inode, c"file", ROOT_ID, c"moved", 0).unwrap();
    assert_eq!(stage.then(), []);
    fs::write(stage.path("moved"), "by the host").unwrap();
    assert_eq!(stage.then(), [told("moved", "modified")]);
}

#[test]
fn what_changed_while_the_machine_slept_the_first_reader_after_it_is_told() {
    let mut stage = Stage::new(100);
    for name in ["gone", "replaced", "same"] {
        fs::write(stage.path("src").join(name), "before").unwrap();
    }
    let src = stage.folder.lookup(somebody(), ROOT_ID, c"src").unwrap().inode;
    for name in [c"a", c"gone", c"replaced", c"same"] {
        stage.folder.lookup(somebody(), src, name).unwrap();
    }
    // What the machine does in the moment before is told, too: this takes longer.
    stage.then();
    let mut state = tempfile::tempfile().unwrap();
    stage.folder.0.save(state.try_clone().unwrap(), crate::slept::since()).unwrap();
    fs::write(stage.path("src/a"), "changed").unwrap();
    fs::remove_file(stage.path("src/gone")).unwrap();
    fs::rename(stage.path("src/replaced"), stage.path("aside")).unwrap();
    fs::create_dir(stage.path("src/replaced")).unwrap();
    fs::write(stage.path("src/replaced/new"), "new").unwrap();
    fs::write(stage.path("target/hidden"), "new").unwrap();
    // Those who watched before the sleep are gone.
    stage.then();
    std::io::Seek::rewind(&mut state).unwrap();
    stage.folder.0.load(state).unwrap();
    let first = stage.first();
    let changes = first["changes"].as_array().unwrap().iter();
    let mut changes: Vec<_> =
        changes.map(|change| told(change["path"].as_str().unwrap(), change["kind"].as_str().unwrap())).collect();
    changes.sort();
    let expected = [
        ("aside", "modified"),
        ("last", "modified"),
        ("src/a", "modified"),
        ("src/gone", "removed"),
        ("src/replaced", "created"),
        ("src/replaced/new", "created"),
    ];
    assert_eq!(changes, expected.map(|(path, kind)| told(path, kind)));
    assert_eq!(first["rescan"], serde_json::json!([]));
    assert_eq!(stage.first()["rescan"], serde_json::json!([""]), "it is told once");
}

#[test]
fn where_there_are_too_many_folders_each_reader_is_told() {
    let folder = |stage: &Stage| fs::create_dir(stage.path("another")).unwrap();
    let mut stage = Stage::seeing(1, |batch| assert!(told_of_too_many(batch), "{batch}"));
    stage.reader = stage.another_reader();
    assert!(told_of_too_many(&stage.next()), "also who comes later");
    folder(&stage);
    assert!(told_of_too_many(&stage.next()));
    let mut stage = Stage::seeing(4, |batch| assert!(!told_of_too_many(batch), "{batch}"));
    folder(&stage);
    assert!(!told_of_too_many(&stage.next()));
    fs::create_dir(stage.path("one-more")).unwrap();
    assert!(told_of_too_many(&stage.next()), "as soon as it is so");
}

fn told_of_too_many(batch: &Value) -> bool {
    batch["notes"].to_string().contains("too many folders")
}
