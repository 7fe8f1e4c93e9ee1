//! What a share's successor knows, when the machine wakes with the folder mounted.

use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use super::*;

impl Stage {
    fn saved(&self) -> Vec<u8> {
        let mut state = tempfile::tempfile().unwrap();
        self.folder.0.save(state.try_clone().unwrap(), (7, 8)).unwrap();
        let mut text = Vec::new();
        state.rewind().unwrap();
        state.read_to_end(&mut text).unwrap();
        text
    }

    fn load(&self, text: &[u8]) -> io::Result<()> {
        let mut state = tempfile::tempfile().unwrap();
        state.write_all(text).unwrap();
        state.rewind().unwrap();
        self.folder.0.load(state)
    }

    /// What the host does while the machine sleeps.
    fn sleep(&self, meanwhile: impl FnOnce()) {
        let text = self.saved();
        self.folder.destroy();
        meanwhile();
        self.load(&text).unwrap();
    }

    #[track_caller]
    fn is_stale(&self, id: u64) {
        refused_as(self.folder.getattr(somebody(), id, None).map(drop), Errno::STALE);
    }

    #[track_caller]
    fn is_known(&self, id: u64) {
        self.folder.getattr(somebody(), id, None).unwrap();
    }
}

#[test]
fn a_successor_goes_on_with_the_numbers_of_the_files_that_are_still_themselves() {
    let stage = Stage::new(&[], &[]);
    stage.mkdir("a").unwrap();
    let (kept, replaced, gone) =
        (stage.make("a/kept").unwrap(), stage.make("replaced").unwrap(), stage.make("gone").unwrap());
    stage.symlink("nowhere", "link").unwrap();
    let link = stage.id("link");
    stage.sleep(|| {
        // The old file stays, so that the new one is not given its inode.
        std::fs::rename(stage.path("replaced"), stage.path("old")).unwrap();
        std::fs::write(stage.path("replaced"), "").unwrap();
        std::fs::remove_file(stage.path("gone")).unwrap();
    });
    stage.write(kept.inode, b"hello").unwrap();
    assert_eq!(stage.on_host("a/kept"), "hello");
    assert_eq!((stage.id("a/kept"), stage.id("link")), (kept.inode, link));
    stage.is_stale(replaced.inode);
    stage.is_stale(gone.inode);
    assert!(stage.id("replaced") > gone.inode, "a number is given once");
}

#[test]
fn how_often_the_machine_was_told_is_known_to_the_successor() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap().inode;
    stage.find("a").unwrap();
    stage.sleep(|| ());
    stage.folder.forget(somebody(), made, 1);
    stage.is_known(made);
    stage.folder.forget(somebody(), made, 1);
    stage.is_stale(made);
}

#[test]
fn a_file_that_the_host_wrote_to_meanwhile_is_itself() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap().inode;
    stage.sleep(|| std::fs::write(stage.path("a"), "by the host").unwrap());
    stage.is_known(made);
    assert_eq!(stage.read("a").unwrap(), b"by the host");
}

/// Most file systems give the number of a file that is gone to the next; the time of its birth they do not.
#[test]
fn another_file_that_was_given_the_same_inode_is_another() {
    let stage = Stage::new(&[], &[]);
    let (mut given_again, mut tries) = (false, 0);
    while !given_again && tries < 100 {
        let made = stage.make("a").unwrap().inode;
        let before = std::fs::metadata(stage.path("a")).unwrap().ino();
        stage.sleep(|| {
            std::fs::remove_file(stage.path("a")).unwrap();
            std::fs::write(stage.path("a"), "another").unwrap();
        });
        given_again = std::fs::metadata(stage.path("a")).unwrap().ino() == before;
        stage.is_stale(made);
        std::fs::remove_file(stage.path("a")).unwrap();
        tries += 1;
    }
    println!("given again after {tries} tries: {given_again}");
}

#[test]
fn a_file_without_a_name_is_lost() {
    let stage = Stage::new(&[], &[]);
    let made = stage.make("a").unwrap().inode;
    stage.unlink("a").unwrap();
    stage.is_known(made);
    stage.sleep(|| ());
    stage.is_stale(made);
}

#[test]
fn names_are_any_bytes() {
    let stage = Stage::new(&[], &[]);
    let names = [&b"two\nlines"[..], b"\xff\xfe", b"\"\\\x01", "gr\u{fc}n".as_bytes(), &[0x01; 255]];
    let make = |name: &[u8]| {
        let mode = libc::S_IFREG | 0o644;
        stage.folder.mknod(somebody(), ROOT_ID, &named(name), mode, 0, 0, Extensions::default()).unwrap().inode
    };
    let made = names.map(make);
    stage.sleep(|| ());
    made.into_iter().for_each(|id| stage.is_known(id));
}

/// Whoever wrote the state may have been somebody else: here the file is moved, and the state says where it is.
#[test]
fn what_was_saved_leads_neither_out_of_the_folder_nor_behind_its_rules() {
    let stage = Stage::prepared(Access::ReadWrite, &["hidden"], &["guarded"], |host| {
        ["hidden", "plain", "plain/below"].iter().for_each(|folder| std::fs::create_dir(host.join(folder)).unwrap());
        std::os::unix::fs::symlink("plain", host.join("link")).unwrap();
    });
    let outside = tempfile::tempdir_in(stage.host.path().parent().unwrap()).unwrap();
    let check = |moved: &Path, place: &str, is_known: bool| {
        let made = stage.make("file").unwrap().inode;
        let text = String::from_utf8(stage.saved()).unwrap();
        assert!(text.contains(r#""place":"file""#), "{text}");
        std::fs::rename(stage.path("file"), moved).unwrap();
        stage.load(text.replace(r#""place":"file""#, &format!(r#""place":{place:?}"#)).as_bytes()).unwrap();
        let answer = stage.folder.getattr(somebody(), made, None);
        assert_eq!(answer.is_ok(), is_known, "{place}");
        if place == "guarded" {
            refused(stage.write(made, b"x"));
        }
        std::fs::remove_file(moved).unwrap();
        stage.folder.destroy();
    };
    check(&stage.path("plain/a"), "plain/a", true);
    check(&stage.path("plain/a"), "plain/below/../a", true);
    check(&stage.path("guarded"), "guarded", true);
    check(&stage.path("plain/a"), "link/a", false);
    check(&stage.path("hidden/a"), "hidden/a", false);
    check(&stage.path("hidden/a"), "plain/../hidden/a", false);
    let place = outside.path().join("a");
    check(&place, place.to_str().unwrap(), false);
    let up = format!("../{}/a", outside.path().file_name().unwrap().to_str().unwrap());
    check(&place, &up, false);
}

#[test]
fn a_number_is_that_of_one_file_and_a_file_has_one_number() {
    let stage = Stage::new(&[], &[]);
    let (a, b) = (stage.make("a").unwrap().inode, stage.make("b").unwrap().inode);
    let text = String::from_utf8(stage.saved()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        stage.load(text.replace(from, to).as_bytes()).unwrap();
    };
    let id = |id: u64| format!(r#"{{"id":{id},"#);
    changed(&id(b), &id(a));
    stage.is_known(a);
    stage.is_stale(b);
    for foreign in [0, ROOT_ID, b + 1, 1 << 62, u64::MAX] {
        changed(&id(b), &id(foreign));
        stage.is_stale(b);
        assert_eq!(stage.id("a"), a);
        assert!(stage.id("b") > b, "another number, since the old one may mean anything");
    }
    assert!(stage.load(text.replace(r#""next":"#, r#""next":922337203685477580"#).as_bytes()).is_err());
}

#[test]
fn a_damaged_state_is_refused_whole() {
    let stage = Stage::new(&[], &[]);
    stage.make("a").unwrap();
    stage.make("b").unwrap();
    let text = stage.saved();
    stage.load(&text).unwrap();
    for length in 0..text.len() {
        assert!(stage.load(&text[..length]).is_err(), "cut at {length}");
    }
    assert!(stage.load(&[&text[..], b"x"].concat()).is_err(), "something follows");
    assert!(stage.load(&vec![b'['; 1 << 20]).is_err());
    let text = String::from_utf8(text).unwrap();
    for (from, to) in [
        (r#""version":1"#, r#""version":2"#),
        (r#""files":2"#, r#""files":3"#),
        (r#""files":2"#, r#""files":18446744073709551615"#),
        (r#""place":"a""#, r#""place":"€""#),
        (r#""place":"a""#, r#""place":["a"]"#),
        (r#""times":1"#, r#""times":-1"#),
    ] {
        assert!(text.contains(from), "{text}");
        assert!(stage.load(text.replace(from, to).as_bytes()).is_err(), "{to}");
    }
    // Whatever single byte is another, it is refused or harmless.
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x11;
        let _ = stage.load(&bytes);
        stage.find("a").unwrap();
    }
}

#[test]
fn more_files_than_descriptors_are_handed_on_and_stay_known() {
    let mut stage = Stage::new(&[], &[]);
    std::sync::Arc::get_mut(&mut stage.folder.0).unwrap().nodes.most = 8;
    stage.mkdir("a").unwrap();
    let made: Vec<u64> = (0..200).map(|number| stage.make(&format!("a/{number}")).unwrap().inode).collect();
    stage.sleep(|| ());
    for _round in 0..2 {
        for (number, id) in made.iter().enumerate() {
            stage.write(*id, b"x").unwrap();
            assert_eq!(stage.id(&format!("a/{number}")), *id);
        }
    }
}

#[test]
fn ten_thousand_files_are_handed_on_in_no_time() {
    const FILES: usize = 10_000;
    let stage = Stage::new(&["target"], &[".git/hooks"]);
    stage.mkdir("a").unwrap();
    let made: Vec<u64> = (0..FILES).map(|number| stage.make(&format!("a/{number}")).unwrap().inode).collect();
    let began = Instant::now();
    let text = stage.saved();
    let saved = began.elapsed();
    stage.folder.destroy();
    let began = Instant::now();
    stage.load(&text).unwrap();
    let loaded = began.elapsed();
    println!("{FILES} files, {} KiB: saved in {saved:?}, loaded in {loaded:?}", text.len() >> 10);
    made.into_iter().for_each(|id| stage.is_known(id));
    assert!(saved.as_secs() < 5 && loaded.as_secs() < 5, "saved in {saved:?}, loaded in {loaded:?}");
}
