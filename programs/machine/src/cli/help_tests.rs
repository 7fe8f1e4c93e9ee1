//! What `--help` says is part of what we promise: one file per verb below `tests/help`, compared
//! exactly. After a change that is meant: `BLESS=1 cargo test -p machine help`, then read the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::Arguments;

fn gather(command: &mut Command, name: &str, helps: &mut BTreeMap<String, String>) {
    helps.insert(format!("{name}.txt"), format!("{}\n", command.render_help().to_string().trim_end()));
    for verb in command.get_subcommands_mut().filter(|verb| !verb.is_hide_set()) {
        let name = format!("{name}-{}", verb.get_name());
        gather(verb, &name, helps);
    }
}

#[test]
fn help_is_what_the_files_say() {
    let mut command = Arguments::command().term_width(100);
    command.build();
    let mut helps = BTreeMap::new();
    gather(&mut command, "machine", &mut helps);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    if std::env::var_os("BLESS").is_some() {
        for old in fs::read_dir(&folder).into_iter().flatten().flatten() {
            fs::remove_file(old.path()).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        for (name, help) in &helps {
            fs::write(folder.join(name), help).unwrap();
        }
    }
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
    let kept: BTreeMap<String, String> =
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())).collect();
    assert_eq!(helps.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    for (name, help) in &helps {
        assert_eq!(help, &kept[name], "{name} changed; see the head of this file");
    }
}
