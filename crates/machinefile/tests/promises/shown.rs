//! What people and programs are shown of a report.

use crate::stage::Stage;

fn shown(text: &str) -> String {
    Stage::new(text).read().report.render()
}

#[test]
fn a_finding_is_its_place_its_line_and_its_fix() {
    let text = "version: 1\nresources:\n  cpus: 2\nenv:\n  A: b\n\n  \nport: 3000\n";
    let wanted = "\
machine: Machinefile:8:1: E002 unknown key 'port' (did you mean 'ports'?)
  8 | port: 3000
    | ^^^^
  fix: write 'ports'
";
    assert_eq!(shown(text), wanted);
}

#[test]
fn all_findings_are_shown_in_the_order_of_their_lines() {
    let wanted = "\
machine: Machinefile:2:9: E003 root is 'temporary'
  2 | root:   temporary
    |         ^^^^^^^^^
  fix: write one of ephemeral, persistent, readonly
machine: Machinefile:3:19: E007 resources.cpus is out of range: 64
  3 | resources: {cpus: 64}
    |                   ^^
  fix: write 1 to 4
machine: Machinefile:4:1: E011 gpu is not honoured by this build yet
  4 | gpu: {count: 1}
    | ^^^
  fix: take it out
";
    assert_eq!(shown("version: 1\nroot:   temporary\nresources: {cpus: 64}\ngpu: {count: 1}\n"), wanted);
}

#[test]
fn a_terminal_is_sent_text_alone() {
    let text = shown("version: 1\nname: \"\u{1b}[31mred\"\n\"\\e[2J\": 1\n");
    assert!(text.contains("E004") && text.contains("E002"), "{text}");
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
}

#[test]
fn a_long_line_is_not_shown() {
    let text = shown(&format!("version: 1\nname: {}\n", "A".repeat(500)));
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn programs_get_code_path_line_column_message_and_hint() {
    let report = Stage::new("version: 1\nname: B\n").read().report;
    let json = serde_json::to_value(&report).unwrap();
    let wanted = serde_json::json!([{
        "code": "E004", "path": "Machinefile", "line": 2, "column": 7,
        "message": "not a machine's name: 'B'",
        "hint": "lower-case letters, digits and '-', beginning with a letter, at most 39",
    }]);
    assert_eq!(json, wanted);
}
