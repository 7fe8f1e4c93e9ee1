//! The guides are tests: every command in a `sh` block of `docs/guide` is run as a reader would, one block after
//! the other in one shell, in a new folder; what a `text` block after it shows must be in its output. The examples
//! are checked here, too: each has a Machinefile that is valid, and the guides start two of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::home::{Ended, Home};

/// Seconds for a whole guide: beyond it a reader waits in vain.
const PATIENCE: &str = "900";

/// What a reader is told to type, and what he is told to see.
struct Step {
    commands: String,
    shows: Vec<String>,
}

fn steps(guide: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let mut block = || lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>();
        match line {
            "```sh" => steps.push(Step { commands: block().join("\n"), shows: Vec::new() }),
            "```text" => {
                let shown = block().into_iter().map(|line| line.trim().to_owned());
                steps.last_mut().expect("text follows commands").shows.extend(shown);
            }
            _ => assert!(!line.starts_with("```") || line.starts_with("```yaml"), "nobody runs this block: {line}"),
        }
    }
    steps
}

/// One script: each step after a line of ours, so that its output is told apart.
fn script(steps: &[Step]) -> String {
    let marked = steps.iter().enumerate().map(|(number, step)| format!("echo '@@ {number}'\n{}\n", step.commands));
    format!("set -euo pipefail\nexec 2>&1\n{}", marked.collect::<String>())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tests live in the repository")
}

fn read(home: &Home, steps: &[Step]) -> Ended {
    let reader = home.folder().join("reader");
    fs::create_dir(&reader).expect("the tests' folder can be written");
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", PATIENCE, "bash", "-c", &script(steps)]);
    command.current_dir(&reader).env_clear().env("MACHINE_HOME", home.folder()).env("PATH", home.path_with_program());
    command.env("HOME", &reader).env("EXAMPLES", root().join("examples")).env("CI", "1").stdin(Stdio::null());
    Ended::of(&command.output().expect("coreutils are there"))
}

fn follow(name: &str) {
    let home = Home::new(&format!("guide-{name}"));
    let guide = fs::read_to_string(root().join(format!("docs/guide/{name}.md"))).expect("the guide is there");
    let steps = steps(&guide);
    assert!(steps.len() > 3, "a guide has steps");
    let ended = read(&home, &steps);
    let output = &ended.stdout;
    assert_eq!(ended.code, 0, "{name}: a command failed:\n{output}");
    let missing = steps.iter().enumerate().flat_map(|(number, step)| {
        let told = output.split_once(&format!("@@ {number}\n")).map_or("", |(_, rest)| rest);
        let told = told.split_once("\n@@ ").map_or(told, |(told, _)| told);
        step.shows.iter().filter(|shown| !told.contains(*shown)).map(move |shown| format!("@@ {number}: {shown}"))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{name}: not shown: {missing:#?} by\n{output}");
}

#[test]
fn the_guide_of_a_node_project_holds() {
    follow("node");
}

#[test]
fn the_guide_of_a_python_project_holds() {
    follow("python");
}

#[test]
fn every_guide_is_followed() {
    let entries = fs::read_dir(root().join("docs/guide")).expect("there are guides").flatten();
    let mut guides: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("it is a name")).collect();
    guides.sort();
    assert_eq!(guides, ["node.md", "python.md"], "give each a test here");
}

#[test]
fn every_example_has_a_valid_machinefile() {
    let home = Home::new("examples");
    let copies = home.folder().join("projects");
    let copied = Command::new("cp").arg("-r").arg(root().join("examples")).arg(&copies).status();
    assert!(copied.expect("cp is installed").success());
    let examples = fs::read_dir(&copies).expect("there are examples").flatten().map(|entry| entry.path());
    let mut count = 0;
    for example in examples.filter(|path| path.is_dir()) {
        let name = example.file_name().expect("it has a name").to_string_lossy();
        for verb in ["config", "plan"] {
            let ended = home.command(&[verb]).current_dir(&example).stdin(Stdio::null()).output();
            let ended = Ended::of(&ended.expect("the program was built"));
            // Warnings are told there, too.
            let silent = ended.stderr.lines().all(|line| line.starts_with("machine: started the server"));
            let holds = ended.code == 0 && silent && ended.stdout.contains(&*name);
            assert!(holds, "{name}: machine {verb}: {ended:#?}");
        }
        count += 1;
    }
    assert_eq!(count, 4);
}
