//! Whatever a file holds, reading it ends, and ends well.

use proptest::prelude::*;

use crate::stage::{Stage, broken};

#[test]
fn files_are_bounded_in_size_and_depth() {
    assert_eq!(broken(&format!("version: 1\n# {}\n", "x".repeat(1 << 20))), ["E002 1:1"]);
    let keys: String = (0..6000).map(|key| format!("x-{key}: 1\n")).collect();
    assert_eq!(broken(&format!("version: 1\n{keys}")), ["E002 5000:9"]);
    let deep = format!("version: 1\nx-deep: {}1{}\n", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(broken(&deep)[0].split(' ').next(), Some("E002"));
}

/// None of these may take time that grows faster than the file.
#[test]
fn a_large_file_is_read_at_once() {
    let patterns = ["a: [", "- ", "? ", "{a: ", "[", "\"", "a: b\n", "- a\n", "&a ", "'", "|\n", ": ", "#", "\u{e9}"];
    let begun = std::time::Instant::now();
    let unknown: String = (0..4900).map(|key| format!("unknown{key}: 1\n{}", "\n".repeat(150))).collect();
    assert_eq!(broken(&format!("version: 1\n{unknown}")).len(), 4900);
    for pattern in patterns {
        let text = format!("version: 1\n{}", pattern.repeat(200_000 / pattern.len()));
        assert!(!Stage::new(&text).read().report.render().is_empty() || pattern == "#", "{pattern}");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let stage = Stage::new("");
    std::fs::write(stage.path().join("Machinefile"), [b'a', 0xff, b'\n']).unwrap();
    let report = stage.read().report;
    assert!(report.refuses() && report.render().contains("not UTF-8"), "{}", report.render());
    let gone = Stage::new("");
    std::fs::remove_file(gone.path().join("Machinefile")).unwrap();
    assert!(gone.read().report.refuses());
}

/// Words out of which random files are made, so that they get past the first key.
const WORDS: &[&str] = &[
    "version: 1\n",
    "name: ",
    "base: ",
    "{template: a}",
    "resources: {cpus: 2}\n",
    "mounts:\n",
    "  - host: .\n",
    "    guest: /w\n",
    "ports: [",
    "]",
    "3000",
    "\"80:80\"",
    "secrets: ",
    "env: {A: ",
    "${",
    "}",
    ":?",
    "- ",
    "? ",
    "&a ",
    "*a ",
    "!t ",
    "\t",
    "|\n",
    ">\n",
    "'",
    "\"",
    "{",
    "[",
    ",",
    ": ",
    "\n",
    "  ",
    "é",
    "\u{feff}",
    "---\n",
    "extends: [./Machinefile]\n",
    "provision:\n",
    "  - run: a\n",
    "<<: ",
    "null",
    "~",
    "#",
    "%",
    "\\",
    "\0",
    "\r",
];

proptest! {
    #[test]
    fn no_words_make_it_panic(picked in prop::collection::vec(0..WORDS.len(), 0..40)) {
        let text: String = picked.into_iter().map(|word| WORDS[word]).collect();
        let reading = Stage::new(&text).read();
        prop_assert_eq!(reading.machinefile.is_some(), !reading.report.refuses());
        let _ = reading.report.render();
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let stage = Stage::new("");
        std::fs::write(stage.path().join("Machinefile"), bytes).unwrap();
        let _ = stage.read().report.render();
    }
}
