//! Bad input: a clear error with a stable code and a hint, and nothing is left behind.

use crate::home::{Home, until};
use crate::projects::Project;

#[test]
fn what_cannot_be_made_is_refused_and_nothing_is_left() {
    let home = Home::new("refusals");
    for (words, code, word) in [
        (vec!["create", "--template", "nope"], 3, "template_not_found"),
        (vec!["create", "--memory", "100000G"], 6, "capacity_exceeded"),
        (vec!["create", "--cpus", "63"], 6, "capacity_exceeded"),
        (vec!["create", "--disk", "1M"], 2, "invalid_request"),
        (vec!["create", "--name", "Not A Name"], 2, "invalid_request"),
        (vec!["inspect", "nobody"], 3, "machine_not_found"),
        (vec!["start", "nobody"], 3, "machine_not_found"),
        (vec!["destroy", "nobody", "--yes"], 3, "machine_not_found"),
    ] {
        let json: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        let ended = home.machine(&json);
        let body: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        assert_eq!((ended.code, body["error"]["code"].as_str()), (code, Some(word)), "{words:?}: {ended:#?}");
        let told = home.refused(&words, code);
        assert!(told.starts_with("machine: "), "{words:?}: {told}");
    }
    assert_eq!(home.ok(&["ls", "-q"]), "");
    assert_eq!(home.machine_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn of_two_clients_that_create_one_name_at_once_one_gets_it() {
    let home = Home::new("two");
    home.ok(&["ls"]);
    let clients: Vec<_> = (0..2).map(|_| home.spawn(&["create", "--name", "a", "--memory", "256M"])).collect();
    let ended = clients.into_iter().map(|client| client.wait_with_output().expect("it was started"));
    let mut codes: Vec<_> = ended.map(|output| output.status.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(7)]);
    assert_eq!(home.machine_folders().len(), 1);
    assert_eq!(home.ok(&["exec", "a", "--", "echo", "here"]), "here");
}

#[test]
fn a_strangers_file_hides_nothing_from_who_is_asked_to_trust_it() {
    let home = Home::new("words");
    // A terminal that obeyed would show `make`, and the letters of the other from right to left.
    let file = "hooks: {pre_start: [\"rm -rf x\\e[2K\\rmake\"]}\nprovision: [{run: \"a\\e[2Kb\\u202Ec\"}]\n";
    let project = Project::new(&home, "words", file);
    for words in [&["trust", "--show"][..], &["plan"]] {
        let told = project.ok(words);
        assert!(told.contains("pre_start: rm -rf x\\u{1b}[2K\\rmake"), "{told:?}");
        assert!(
            !told.contains(|letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}'),
            "{told:?}"
        );
    }
    assert!(project.ok(&["plan"]).contains("a\\u{1b}[2Kb\\u{202e}c"));
}

#[test]
fn a_host_without_qemu_is_told_how_to_get_it() {
    let mut home = Home::new("no-qemu");
    home.set_path("/nonexistent");
    let told = home.refused(&["create", "--name", "a"], 9);
    assert!(told.contains("qemu-system-x86_64") && told.contains("apt-get install"), "{told}");
    let ended = home.machine(&["doctor"]);
    assert_eq!(ended.code, 9, "{ended:#?}");
    assert!(ended.stdout.contains("missing  qemu"), "{ended:#?}");
    // Said of every host; the tests' own has npm, and may lack pip.
    let told = |words: &str| ended.stdout.lines().any(|line| line.starts_with(words));
    assert!(told("ok       npm ") && (told("ok       pip3 ") || told("note     pip3 ")), "{ended:#?}");
    assert_eq!(home.ok(&["ls", "-q"]), "");
    until("nothing is left", || home.machine_folders().is_empty());
}
