//! What `machine init` writes, where a file is found, and what the environment becomes.

use std::path::Path;

use machine_machinefile::environment::{self, SecretValue};
use machine_machinefile::model::{AgentTool, Containers, SecretSource};
use machine_machinefile::{Project, ProjectKind, detect, find, starter_file};

use crate::stage::Stage;

#[test]
fn every_starter_is_read_without_a_word() {
    for kind in ProjectKind::ALL {
        let file = Stage::new(&starter_file(kind)).model();
        assert_eq!((file.containers, file.agents.as_slice()), (Containers::Docker, &[AgentTool::ClaudeCode][..]));
        assert!(file.packages.apt.contains(&"git".to_owned()), "{kind:?}");
    }
    let node = Stage::new(&starter_file(ProjectKind::Node)).model();
    assert_eq!(
        (node.packages.npm.as_slice(), node.mounts[0].exclude.as_slice()),
        (&["npm".to_owned()][..], &["node_modules".to_owned()][..])
    );
}

/// A line `# key: value` of a starter, or a continuation of one, is YAML once it is live.
#[test]
fn what_a_starter_only_mentions_is_right_too() {
    for kind in ProjectKind::ALL {
        let live = |line: &str| {
            let rest = line.strip_prefix("# ").unwrap_or(line);
            let is_key = rest.split_once(':').is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase()));
            if is_key || rest.starts_with("  - ") { rest.to_owned() } else { line.to_owned() }
        };
        let text: Vec<String> = starter_file(kind).lines().map(live).collect();
        let text = text.join("\n").replace("env:TOKEN", "env:WHO").replace("memory: 8GiB", "memory: 4GiB");
        let file = Stage::new(&text).model();
        assert_eq!((file.ports.len(), file.provision.len(), file.secrets.len()), (2, 1, 1), "{text}");
    }
}

#[test]
fn a_project_is_what_its_files_say() {
    let signs = [
        ("package.json", ProjectKind::Node),
        ("setup.py", ProjectKind::Python),
        ("requirements.txt", ProjectKind::Python),
        ("pyproject.toml", ProjectKind::Python),
        ("Cargo.toml", ProjectKind::Rust),
        ("go.mod", ProjectKind::Go),
        ("README", ProjectKind::Plain),
    ];
    for (sign, kind) in signs {
        let stage = Stage::new("");
        stage.write(sign, "");
        assert_eq!(detect(stage.path()), kind, "{sign}");
    }
}

#[test]
fn a_file_is_found_upward_to_the_repositorys_root() {
    let stage = Stage::new("version: 1\n");
    stage.write("a/b/c.txt", "");
    let found = |from: &str, home: Option<&Path>| find(&stage.path().join(from), home);
    assert_eq!(found("a/b", None), Some(stage.project()));
    stage.write("a/.machine/Machinefile", "version: 1\n");
    let nearer = stage.path().join("a");
    let file = nearer.join(".machine/Machinefile");
    assert_eq!(found("a/b", None), Some(Project { folder: nearer.clone(), file }));
    std::fs::remove_dir_all(nearer.join(".machine")).unwrap();
    stage.write("a/.git/HEAD", "");
    assert_eq!(found("a/b", None), None, "the repository ends there");
    std::fs::remove_dir_all(nearer.join(".git")).unwrap();
    assert_eq!(found("a/b", Some(&nearer)), None, "the home ends it, too");
    assert_eq!(found("a/b", Some(stage.path())), None, "a file of the home is no project's");
}

#[test]
fn environment_is_the_files_and_env_over_them() {
    let stage = Stage::new("version: 1\nenv_files: [.env, .more?]\nenv: {B: over}\n");
    stage.write(".env", "A=1\nB=2\n");
    let whole = environment::environment(&stage.model(), stage.path(), None).unwrap();
    assert_eq!(whole.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(), ["A=1", "B=over"]);
    stage.write(".env", "A\nB=hidden\n");
    let error = environment::environment(&stage.model(), stage.path(), None).unwrap_err().to_string();
    assert!(error.ends_with(".env: line 1: no '=': write KEY=VALUE"), "{error}");
}

#[test]
fn a_secrets_value_is_known_but_not_shown_and_a_command_is_not_run() {
    let stage = Stage::new("");
    stage.write("key", "hidden");
    let of = |source: SecretSource| {
        environment::secret(&source, stage.path(), None, &|_| Some("hidden".to_owned())).unwrap()
    };
    for source in [SecretSource::Env("A".to_owned()), SecretSource::File("key".into())] {
        let value = of(source);
        assert_eq!(value, SecretValue::Known(b"hidden".to_vec()));
        assert!(!format!("{value:?}").contains("hidden"));
    }
    assert_eq!(of(SecretSource::Command("touch x".to_owned())), SecretValue::Printed("touch x".to_owned()));
    assert!(!stage.path().join("x").exists());
}
