//! Tests of secrets.rs: memory in a mount namespace of their own.

use super::*;

fn put(names: &[&str], bytes: usize) -> PutSecrets {
    let secret = |name: &&str| Secret { name: (*name).to_owned(), value: vec![b'x'; bytes] };
    PutSecrets { secrets: names.iter().map(secret).collect(), uid: 0 }
}

#[test]
fn a_secret_has_a_files_name_and_there_are_not_too_many() {
    assert!(check(&put(&["API_KEY", "a.b-c"], 5)).is_ok());
    for names in [&["../x"][..], &["."], &[".new"], &[""], &["a/b"], &["a", "a"], &["a\0b"]] {
        assert!(check(&put(names, 1)).is_err(), "{names:?}");
    }
    assert!(check(&put(&["a"], PutSecrets::LONGEST + 1)).is_err());
    let many: Vec<String> = (0..=PutSecrets::MOST).map(|number| number.to_string()).collect();
    assert!(check(&put(&many.iter().map(String::as_str).collect::<Vec<_>>(), 0)).is_err());
}

const INSIDE: &str = "MACHINE_AGENT_TEST_SECRETS";

#[test]
fn secrets_are_held_in_memory_replaced_and_forgotten() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return hold_and_forget(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut inside = std::process::Command::new("unshare");
    let name = "secrets::tests::secrets_are_held_in_memory_replaced_and_forgotten";
    inside.arg("-m").arg(std::env::current_exe().unwrap()).args(["--exact", name]).env(INSIDE, folder.path());
    let possible = std::process::Command::new("unshare").args(["-m", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        writeln!(io::stderr(), "not checked: no mount namespaces here").unwrap();
        return;
    }
    let output = inside.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn hold_and_forget(parent: &Path) {
    let folder = parent.join("secrets");
    let both = PutSecrets { uid: 4321, ..put(&["A", "B"], 5) };
    for _ in 0..2 {
        hold(&folder, &both).unwrap();
        let found = fs::metadata(folder.join("A")).unwrap();
        assert_eq!((found.uid(), found.permissions().mode() & 0o7777), (4321, 0o400));
        let found = fs::metadata(&folder).unwrap();
        assert_eq!((found.uid(), found.permissions().mode() & 0o7777), (4321, 0o700));
        assert_ne!(found.dev(), fs::metadata(parent).unwrap().dev());
    }
    fs::create_dir(folder.join("theirs")).unwrap();
    hold(&folder, &put(&["B"], 3)).unwrap();
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((names, fs::read(folder.join("B")).unwrap()), (vec!["B".into()], b"xxx".to_vec()));
    for _ in 0..2 {
        forget(&folder).unwrap();
        assert!(!is_mounted(&folder).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}

#[test]
fn a_secret_is_not_shown_and_what_goes_is_written_over() {
    assert!(!format!("{:?}", put(&["a"], 5)).contains("xxxxx"));
    assert!(!format!("{:?}", put(&["a"], 5)).contains("120"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    fs::write(&path, "secret").unwrap();
    let reader = File::open(&path).unwrap();
    erase(&path).unwrap();
    erase(&path).unwrap();
    assert!(!path.exists());
    assert_eq!(io::read_to_string(reader).unwrap(), "\0".repeat(6));
}
