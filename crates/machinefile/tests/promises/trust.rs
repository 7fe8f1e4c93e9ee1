//! What asks for trust, and that nothing else does.

use machine_machinefile::trust::Asks;
use machine_machinefile::{TrustList, trust_record};

use crate::stage::Stage;

fn asked(stage: &Stage) -> TrustList {
    let reading = stage.read();
    TrustList::asked(&reading.machinefile.expect("nothing refuses it"), stage.path(), None, &reading.files)
}

#[test]
fn a_file_of_its_own_folder_asks_for_nothing() {
    let own = "version: 1\nports: [3000]\nsecrets: [{name: A, from: env:WHO}, {name: B, from: file:Machinefile}]\n\
               network: {egress: {policy: deny, allow: [example.com, 0.0.0.0/0]}}\nmounts: [{host: ., guest: /w}]\n";
    assert!(asked(&Stage::new(own)).is_empty());
}

#[test]
fn everything_beyond_is_named_at_its_line() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("key"), "k").unwrap();
    let there = outside.path().display();
    let stage = Stage::new(&format!(
        "version: 1\nhooks:\n  pre_start:\n    - echo hi\nsecrets:\n  - {{name: A, from: \"cmd:pass a\"}}\n  \
         - {{name: B, from: \"file:{there}/key\"}}\nmounts:\n  - {{host: {there}, guest: /w}}\nports:\n  \
         - 0.0.0.0:3000:3000\nnetwork:\n  egress:\n    allow:\n      - 127.0.0.1\n      - 169.254.169.254\n      \
         - host.machine.internal:5432\n"
    ));
    let list = asked(&stage);
    let items: Vec<(Asks, String)> = list.items.iter().map(|item| (item.asks, item.origin.to_string())).collect();
    let at = |asks, line: usize| (asks, format!("Machinefile:{line}"));
    let wanted = [
        at(Asks::Hook, 4),
        at(Asks::SecretCommand, 6),
        at(Asks::FileOutside, 7),
        at(Asks::Mount, 9),
        at(Asks::PublicPort, 11),
        at(Asks::PrivateAddress, 15),
        at(Asks::PrivateAddress, 16),
        at(Asks::PrivateAddress, 17),
    ];
    assert_eq!(items, wanted);
    let refusal = list.refusal(&stage.read().files);
    assert_eq!(refusal.errors().count(), wanted.len());
    let first = "\
machine: Machinefile:4:1: E090 not trusted: runs a command on this computer: pre_start: echo hi
  4 |     - echo hi
    | ^
  fix: read it, then run `machine trust`
";
    assert!(refusal.render().starts_with(first), "{}", refusal.render());
}

#[test]
fn a_home_is_asked_for_even_as_the_projects_own_folder() {
    let stage = Stage::new("version: 1\n");
    let reading = stage.read();
    let list = TrustList::asked(&reading.machinefile.unwrap(), stage.path(), Some(stage.path()), &reading.files);
    assert_eq!(list.items.iter().map(|item| item.asks).collect::<Vec<_>>(), [Asks::Mount]);
}

#[test]
fn trust_is_for_one_place_and_one_content() {
    let records = tempfile::tempdir().unwrap();
    let (one, other) = (Stage::new("version: 1\nname: a\n"), Stage::new("version: 1\nname: a\n"));
    let trusted = |stage: &Stage| trust_record::is_trusted(records.path(), stage.path(), &asked(stage).digest).unwrap();
    assert!(!trusted(&one));
    trust_record::record(records.path(), one.path(), &asked(&one).digest).unwrap();
    assert!(trusted(&one) && !trusted(&other), "another place");
    one.write("Machinefile", "version: 1\nname: b\n");
    assert!(!trusted(&one), "another content");
    one.write("Machinefile", "version: 1\nname: a\n");
    assert!(trusted(&one), "as it was");
    trust_record::forget(records.path(), one.path()).unwrap();
    assert!(!trusted(&one));
}

#[test]
fn what_is_extended_is_part_of_what_is_trusted() {
    let stage = Stage::new("version: 1\nextends: [./one.yaml]\n");
    stage.write("one.yaml", "version: 1\nname: a\n");
    let before = asked(&stage).digest;
    stage.write("one.yaml", "version: 1\nname: b\n");
    assert_ne!(asked(&stage).digest, before);
}

#[test]
fn a_damaged_record_is_no_trust() {
    let (records, stage) = (tempfile::tempdir().unwrap(), Stage::new("version: 1\n"));
    std::fs::write(records.path().join("trust.json"), "{}").unwrap();
    let asked = asked(&stage).digest;
    assert!(matches!(
        trust_record::is_trusted(records.path(), stage.path(), &asked),
        Err(trust_record::TrustError::Damaged { .. })
    ));
}

/// The guest may write to the project: what it leads elsewhere is asked for, whatever was trusted before.
#[test]
fn a_link_that_the_guest_made_is_not_trusted_with_the_file() {
    let (records, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("key"), "K=1\n").unwrap();
    let stage = Stage::new("version: 1\nenv_files: [.env?]\nhooks: {pre_start: [\"true\"]}\n");
    stage.write(".env", "A=1\n");
    trust_record::record(records.path(), stage.path(), &asked(&stage).digest).unwrap();
    std::fs::remove_file(stage.path().join(".env")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("key"), stage.path().join(".env")).unwrap();
    let list = asked(&stage);
    assert!(!trust_record::is_trusted(records.path(), stage.path(), &list.digest).unwrap());
    let files: Vec<&str> =
        list.items.iter().filter(|item| item.asks == Asks::FileOutside).map(|item| item.what.as_str()).collect();
    assert!(files.len() == 1 && files[0].starts_with(".env -> "), "{files:?}");
}

#[test]
fn a_project_that_is_a_link_to_the_home_shows_the_home() {
    let (home, elsewhere) = (Stage::new("version: 1\n"), tempfile::tempdir().unwrap());
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    let project = machine_machinefile::Project { folder: link.clone(), file: link.join("Machinefile") };
    let reading = machine_machinefile::read(&project, &crate::stage::host(), &|_| None);
    let list = TrustList::asked(&reading.machinefile.unwrap(), &link, Some(home.path()), &reading.files);
    assert_eq!(list.items.iter().map(|item| item.asks).collect::<Vec<_>>(), [Asks::Mount]);
}
