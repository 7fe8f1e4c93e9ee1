//! Whatever a file holds, reading it ends, and ends well.

use proptest::prelude::*;

use crate::stage::{Stage, broken};

#[test]
fn files_are_bounded_in_size_and_depth() {
    assert_eq!(broken(&format!("version: 1\n# {}\n", "x".repeat(1 << 20))), ["E002 1:1"]);
    let deep = format!("version: 1\nx-deep: {}1{}\n", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(broken(&deep)[0].split(' ').next(), Some("E002"));
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
