//! What a hostile guest may send, and what becomes of it: nothing outside of the folder.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use tar::{Builder, Header};

use super::*;

/// A folder to unpack into, beside a place that must stay as it is.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self { folder }
    }

    fn inside(&self, name: &str) -> PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn unpack(&self, stream: &[u8]) -> Result<(), UnpackError> {
        self.take(stream, Unpacking::all(Root::Ours)).map(drop)
    }

    fn take(&self, stream: &[u8], how: Unpacking) -> Result<Noted, UnpackError> {
        unpack(stream, &self.folder.path().join("in"), how, &ProgressBar::hidden())
    }

    /// The stream is refused, and nothing came to be outside.
    fn refuses(&self, stream: &[u8]) -> UnpackError {
        let error = self.unpack(stream).expect_err("a hostile stream is refused");
        assert_eq!(fs::read_dir(self.folder.path().join("out")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 2);
        let left = fs::read_dir(self.inside(".")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".machine-cp")));
        error
    }
}

/// A header with any name, which the library's own writer would not write.
fn header(kind: EntryType, name: &str, target: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name.as_bytes());
    gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    header
}

fn stream(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, target, content) in entries {
        builder.append(&header(*kind, name, target, content.len() as u64), *content).unwrap();
    }
    builder.into_inner().unwrap()
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn absolute_names_are_refused() {
    let error = Scene::new().refuses(&stream(&[(FILE, "/tmp/machine-escape", "", b"x")]));
    assert!(matches!(error, UnpackError::Escapes { .. }), "{error}");
    assert!(!Path::new("/tmp/machine-escape").exists());
}

#[test]
fn names_that_climb_are_refused() {
    for name in ["../out/x", "a/../../out/x", ".."] {
        let error = Scene::new().refuses(&stream(&[(FILE, name, "", b"x")]));
        assert!(matches!(error, UnpackError::Escapes { .. }), "{name}: {error}");
    }
}

#[test]
fn a_link_is_made_but_not_written_through() {
    for target in ["../out", "out"] {
        let scene = Scene::new();
        let entries = [(EntryType::Symlink, "a", target, &b""[..]), (FILE, "a/x", "", b"x")];
        let error = scene.refuses(&stream(&entries));
        assert!(matches!(error, UnpackError::NotThroughFolders { .. }), "{error}");
        assert_eq!(fs::read_link(scene.inside("a")).unwrap(), Path::new(target));
    }
}

#[test]
fn a_folder_is_not_made_through_a_link_either() {
    let scene = Scene::new();
    let link = (EntryType::Symlink, "a", "../out", &b""[..]);
    scene.refuses(&stream(&[link, (EntryType::Directory, "a/b", "", b"")]));
    // Nor is a link taken for the folder of that name, whose mode would then be set.
    Scene::new().refuses(&stream(&[link, (EntryType::Directory, "a", "", b"")]));
}

#[test]
fn a_file_replaces_a_link_and_leaves_its_target() {
    let scene = Scene::new();
    fs::write(scene.folder.path().join("in/target"), "before").unwrap();
    scene.unpack(&stream(&[(EntryType::Symlink, "a", "target", b""), (FILE, "a", "", b"new")])).unwrap();
    assert_eq!(fs::read_to_string(scene.inside("target")).unwrap(), "before");
    assert_eq!(fs::read_to_string(scene.inside("a")).unwrap(), "new");
    assert!(!fs::symlink_metadata(scene.inside("a")).unwrap().is_symlink());
}

#[test]
fn a_link_that_was_here_before_is_not_followed() {
    let scene = Scene::new();
    symlink("../out", scene.inside("a")).unwrap();
    scene.refuses(&stream(&[(FILE, "a/x", "", b"x")]));
}

#[test]
fn a_hard_link_stays_in_the_folder() {
    let scene = Scene::new();
    scene.unpack(&stream(&[(FILE, "a", "", b"x"), (EntryType::Link, "b/c", "a", b"")])).unwrap();
    let inode = |name| fs::metadata(scene.inside(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("b/c"));
    for target in ["/etc/passwd", "../out", "link/passwd", "."] {
        let link = (EntryType::Symlink, "link", "/etc", &b""[..]);
        Scene::new().refuses(&stream(&[link, (EntryType::Link, "b", target, b"")]));
    }
}

#[test]
fn special_files_are_refused_by_name() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNUSparse] {
        let error = Scene::new().refuses(&stream(&[(kind, "dev", "", b"")]));
        assert!(!error.to_string().is_empty());
    }
    let error = Scene::new().refuses(&stream(&[(EntryType::Fifo, "pipe", "", b"")])).to_string();
    assert_eq!(error, "cannot copy pipe: it is a special file");
}

#[test]
fn a_claimed_size_takes_no_room() {
    let mut huge = header(FILE, "a", "", 1 << 40).as_bytes().to_vec();
    huge.extend([0; 1024]);
    let scene = Scene::new();
    let error = scene.refuses(&huge);
    assert!(matches!(error, UnpackError::Stream { .. }), "{error}");
    assert!(!scene.inside("a").exists());
}

#[test]
fn a_name_without_end_is_refused() {
    let mut endless = header(EntryType::GNULongName, "././@LongLink", "", 64 << 20).as_bytes().to_vec();
    endless.resize(endless.len() + (64 << 20), b'a');
    let error = Scene::new().refuses(&endless);
    assert!(matches!(error, UnpackError::Stream { .. }), "{error}");
}

#[test]
fn modes_are_kept_but_not_setuid() {
    let scene = Scene::new();
    let mut builder = Builder::new(Vec::new());
    for (kind, name, mode) in
        [(EntryType::Directory, "./d", 0o555), (FILE, "./d/x", 0o4711), (EntryType::Directory, "./", 0o750)]
    {
        let mut header = header(kind, name, "", 0);
        header.set_mode(mode);
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
    }
    scene.unpack(&builder.into_inner().unwrap()).unwrap();
    let mode = |name| fs::metadata(scene.inside(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("d"), mode("d/x"), mode(".")), (0o555, 0o711, 0o750));
}

/// As a folder comes back whose guest is not trusted.
fn bounded(bytes: u64, entries: u64) -> Unpacking {
    let selection = Selection { special: Special::Skipped, left_out: vec!["out".into()] };
    let allowance = Allowance::Left { bytes, entries, names: 1 << 20 };
    Unpacking { root: Root::Theirs, modes: Modes::Noted, selection, allowance }
}

#[test]
fn no_more_is_taken_than_is_allowed() {
    let scene = Scene::new();
    let two = stream(&[(FILE, "a", "", b"x"), (FILE, "b", "", b"x")]);
    assert!(matches!(scene.take(&two, bounded(1 << 20, 1)), Err(UnpackError::TooMuch { .. })));
    assert!(matches!(scene.take(&two, bounded(5000, 9)), Err(UnpackError::TooMuch { .. })));
    assert!(scene.take(&two, bounded(1 << 20, 2)).is_ok());
    let mut claim = header(FILE, "huge", "", 1 << 40).as_bytes().to_vec();
    claim.extend([0; 1024]);
    assert!(matches!(scene.take(&claim, bounded(1 << 30, 9)), Err(UnpackError::TooMuch { .. })));
    let mut builder = Builder::new(Vec::new());
    builder.append_data(&mut header(FILE, "", "", 0), "d/".repeat(400) + "x", io::empty()).unwrap();
    let deep = builder.into_inner().unwrap();
    assert!(matches!(scene.take(&deep, bounded(1 << 20, 9)), Err(UnpackError::TooMuch { .. })));
}

#[test]
fn what_is_noted_is_readable_here_and_what_is_left_out_does_not_come() {
    let scene = Scene::new();
    let mut builder = Builder::new(Vec::new());
    for (kind, name) in [(EntryType::Directory, "./d"), (FILE, "./d/x"), (FILE, "./out/y"), (EntryType::Fifo, "./p")] {
        let mut header = header(kind, name, "", 0);
        header.set_mode(0);
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
    }
    let noted = scene.take(&builder.into_inner().unwrap(), bounded(1 << 20, 9)).unwrap();
    assert_eq!(noted.modes, BTreeMap::from([("d".into(), 0), ("d/x".into(), 0)]));
    assert_eq!(noted.skipped, [PathBuf::from("p")]);
    let mode = |name| fs::metadata(scene.inside(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("d"), mode("d/x")), (0o700, 0o600));
    assert!(!scene.inside("out").exists());
}
