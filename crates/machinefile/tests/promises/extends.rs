//! Files that extend others: merged first to last, errors where they are.

use machine_machinefile::model::Base;

use crate::stage::Stage;

#[test]
fn maps_merge_lists_append_and_the_rest_replaces() {
    let stage = Stage::new(
        "version: 1\nextends: [./one.yaml, ./two.yaml]\nresources: {memory: 2GiB}\npackages: [git]\nenv: {B: over}\n",
    );
    stage.write("one.yaml", "version: 1\nroot: persistent\nresources: {cpus: 1, memory: 1GiB}\nenv: {A: a, B: b}\n");
    stage.write("two.yaml", "version: 1\npackages: {apt: [curl], npm: [npm]}\nports: [3000]\nname: two\n");
    let file = stage.model();
    assert_eq!((file.resources.cpus, file.resources.memory.0), (1, 2048));
    assert_eq!((file.packages.apt.join(","), file.packages.npm.join(",")), ("curl,git".to_owned(), "npm".to_owned()));
    assert_eq!((file.env["A"].as_str(), file.env["B"].as_str(), file.name.as_str()), ("a", "over", "two"));
    assert_eq!(file.origins.of("resources.cpus").to_string(), "one.yaml:3");
    assert_eq!(file.origins.of("resources.memory").to_string(), "Machinefile:3");
}

#[test]
fn a_template_is_a_base_that_the_file_may_replace() {
    let template = |text: &str| Base::Template(text.parse().unwrap());
    assert_eq!(Stage::new("version: 1\nextends: [template:web]\n").model().base, template("web"));
    let over = "version: 1\nextends: [template:web]\nbase: {template: api}\n";
    assert_eq!(Stage::new(over).model().base, template("api"));
}

#[test]
fn an_error_is_told_in_the_file_that_has_it() {
    let stage = Stage::new("version: 1\nextends: [./sub/one.yaml]\nroot: x\n");
    stage.write("sub/one.yaml", "version: 1\nport: 1\n");
    let wanted = "\
machine: Machinefile:3:7: E003 root is 'x'
  3 | root: x
    |       ^
  fix: write one of ephemeral, persistent, readonly
machine: sub/one.yaml:2:1: E002 unknown key 'port' (did you mean 'ports'?)
  2 | port: 1
    | ^^^^
  fix: write 'ports'
";
    assert_eq!(stage.read().report.render(), wanted);
}

#[test]
fn cycles_end_and_files_outside_are_refused() {
    let stage = Stage::new("version: 1\nextends: [./one.yaml]\n");
    stage.write("one.yaml", "version: 1\nextends: [./Machinefile]\n");
    let report = stage.read().report;
    assert!(report.render().starts_with("machine: one.yaml:2:11: E003 extends: ./Machinefile extends itself"));
    assert_eq!(report.findings().len(), 1, "{}", report.render());
    for outside in ["../one.yaml", "/one.yaml", "one.yaml", "./missing.yaml", "https://a.test/x"] {
        let report = Stage::new(&format!("version: 1\nextends: [\"{outside}\"]\n")).read().report;
        let found = report.findings().iter().map(|finding| (finding.code.code(), finding.line, finding.column));
        assert_eq!(found.collect::<Vec<_>>(), [("E003", 2, 11)], "{outside}");
    }
}

#[test]
fn depth_and_number_of_files_are_bounded() {
    let stage = Stage::new("version: 1\nextends: [./0.yaml, ./0.yaml]\n");
    for number in 0..12 {
        let next = number + 1;
        let text = format!("version: 1\nextends: [./{next}.yaml, ./{next}.yaml]\n");
        stage.write(&format!("{number}.yaml"), &text);
    }
    stage.write("12.yaml", "version: 1\n");
    let reading = stage.read();
    assert!(reading.files.len() <= 32, "{}", reading.files.len());
    assert!(reading.report.render().contains("too many files"));
}
