//! What `machine config` shows: every value with where it came from, and as a file that means the same.

use machine_machinefile::{Machinefile, Origin};

use crate::stage::Stage;

const COMPLETE: &str = include_str!("../examples/complete.yaml");

fn shown_again(file: &Machinefile) -> String {
    let mut shown = serde_json::to_value(file).expect("the model is JSON");
    shown["version"] = 1.into();
    serde_json::to_string_pretty(&shown).expect("JSON is text")
}

#[test]
fn what_is_shown_means_the_same_again() {
    for text in [COMPLETE, "version: 1\n", "version: 1\nbase: {template: \"web:1\"}\nisolation: strict\n"] {
        let stage = Stage::new(text);
        stage.write("scripts/setup.sh", "true\n");
        let first = stage.model();
        stage.write("Machinefile", &shown_again(&first));
        let again = stage.model();
        assert_eq!(again, Machinefile { origins: again.origins.clone(), ..first });
    }
}

#[test]
fn each_line_says_its_key_its_value_and_its_origin() {
    let stage = Stage::new(
        "version: 1\nname: blog\npackages: [git]\nnetwork:\n  egress: {policy: deny}\nsecrets:\n  - name: A\n    \
         from: env:WHO\nprovision:\n  - file: /a\n",
    );
    let lines = stage.model().lines();
    let line = |key: &str| {
        let found = lines.iter().find(|line| line.key == key).expect(key);
        format!("{} {}", found.value, found.origin)
    };
    assert_eq!(line("name"), "\"blog\" Machinefile:2");
    assert_eq!(line("packages.apt[0]"), "\"git\" Machinefile:3");
    assert_eq!(line("network.egress.policy"), "\"deny\" Machinefile:5");
    assert_eq!(line("secrets[0].from"), "\"env:WHO\" Machinefile:8");
    assert_eq!(line("provision[0].file"), "\"/a\" Machinefile:10");
    assert_eq!(line("provision[0].mode"), "\"0644\" default");
    assert_eq!(line("resources.cpus"), "2 default");
    assert_eq!(line("timeouts.boot"), "\"150s\" default");
    assert_eq!(line("packages.npm"), "[] default");
}

#[test]
fn in_a_complete_file_only_what_nobody_wrote_is_default() {
    let stage = Stage::new(COMPLETE);
    stage.write("scripts/setup.sh", "true\n");
    let defaults = stage.model().lines().into_iter().filter(|line| line.origin == Origin::Default);
    let keys: Vec<String> = defaults.map(|line| line.key).collect();
    let unwritten = ["provision[1].when", "provision[2].as", "provision[2].when", "ready[1].timeout"];
    assert_eq!(keys, unwritten);
}
