//! Nothing in the tree names where it was made: no package registry, no path of one computer.
//! Findings do not repeat the name, so that a log of this test is as clean as the tree.

use std::path::PathBuf;

use crate::{none, tree};

/// Registries that everybody knows, in pieces, so that this file passes.
const KNOWN: &[&str] = &[
    concat!("deb.", "debian.org"),
    concat!("security.", "debian.org"),
    concat!("snapshot.", "debian.org"),
    concat!("archive.", "ubuntu.com"),
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("pypi.", "org"),
    concat!("files.", "pythonhosted.org"),
    concat!("proxy.", "golang.org"),
    concat!("registry-1.", "docker.io"),
];

/// Where a computer keeps the names of the registries that it uses.
const SETTINGS: &[&str] = &[
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/apt/mirrors",
    "/etc/apt/apt.conf.d",
    "/etc/pip.conf",
    "/etc/npmrc",
    "~/.config/pip/pip.conf",
    "~/.pip/pip.conf",
    "~/.npmrc",
    "~/.cargo/config",
    "~/.cargo/config.toml",
];
const VARIABLES: &[&str] =
    &["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY", "npm_config_registry", "GOPROXY"];

/// Homes that may be named, and why. An entry that nothing needs any more must leave.
const ALLOWED: &[(&str, &str)] = &[
    ("programs/machine-agent/src/users.rs", "accounts of a guest, made up for a test"),
    ("programs/machine-agent/src/accounts/books.rs", "accounts of a guest, made up for a test"),
    ("programs/machine-agent/src/accounts/tests.rs", "accounts of a guest, made up for a test"),
    ("crates/hypervisor/tests/golden_plans.rs", "a made-up home, so that golden plans are the same everywhere"),
];

#[test]
fn no_package_registry_is_named() {
    let hosts = hosts_of_this_computer();
    let mut findings = Vec::new();
    for file in tree::texts().into_iter().filter(|file| !file.path.ends_with(".lock")) {
        for (line, text) in (1..).zip(file.text.lines()) {
            if hosts.iter().map(String::as_str).chain(KNOWN.iter().copied()).any(|host| names_exactly(text, host)) {
                findings.push(format!("{}:{line}: names a package registry: read it from the host", file.path));
            }
        }
    }
    none("package registries", &findings);
}

#[test]
fn no_path_of_this_computer_is_named() {
    let checkout = tree::root().display().to_string();
    let mut findings = Vec::new();
    for file in tree::texts() {
        let lines = (1..).zip(file.text.lines()).filter(|(_, line)| names_exactly(line, &checkout)).map(|(n, _)| n);
        findings.extend(lines.map(|line| format!("{}:{line}: names this checkout: make it relative", file.path)));
    }
    none("paths of this computer", &findings);
}

#[test]
fn nobodys_home_is_named() {
    let written = |path: &str| [".rs", ".md", ".toml", ".sh"].iter().any(|ending| path.ends_with(ending));
    let mut findings = Vec::new();
    let mut needed = Vec::new();
    for file in tree::texts().into_iter().filter(|file| written(&file.path)) {
        let lines: Vec<usize> =
            (1..).zip(file.text.lines()).filter(|(_, line)| names_home(line)).map(|(n, _)| n).collect();
        if ALLOWED.iter().any(|(path, _)| *path == file.path) {
            needed.extend((!lines.is_empty()).then_some(file.path));
        } else {
            let told = lines.into_iter().map(|line| {
                format!("{}:{line}: names a home: make it relative, or say why in tests/repo/places.rs", file.path)
            });
            findings.extend(told);
        }
    }
    let idle = ALLOWED.iter().filter(|(path, _)| !needed.iter().any(|file| file == path));
    findings
        .extend(idle.map(|(path, _)| format!("tests/repo/places.rs: {path}: names no home now: take it off ALLOWED")));
    none("homes", &findings);
}

#[test]
fn hosts_are_found_without_what_goes_with_them() {
    let settings = "deb https://who:secret@mirror.example.org:8080/debian sid\nregistry=http://10.1.2.3/\n\
                    //npm.example.net/:_token=x\n# local http://localhost:1/ and http://127.0.0.1/\n";
    assert_eq!(hosts(settings), ["mirror.example.org", "10.1.2.3", "npm.example.net"]);
}

#[test]
fn a_name_within_another_name_is_not_that_name() {
    assert!(
        names_exactly("see https://a.example.org/x", "a.example.org")
            && names_exactly("'a.example.org'", "a.example.org")
    );
    assert!(
        !names_exactly("data.example.org", "a.example.org") && !names_exactly("a.example.organic", "a.example.org")
    );
    let home = concat!("/ho", "me/");
    assert!(names_home(&format!("x {home}ann/y")) && names_home(concat!("/ro", "ot/.cargo")));
    assert!(!names_home(&format!("{home}<name>")) && !names_home(&format!("{home}$USER")) && !names_home("/x/home/a"));
}

fn hosts_of_this_computer() -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut found = Vec::new();
    for settings in SETTINGS {
        let path = settings.strip_prefix("~/").map_or_else(|| PathBuf::from(settings), |path| home.join(path));
        let inside = std::fs::read_dir(&path).map(|folder| folder.flatten().map(|file| file.path()).collect());
        for file in inside.unwrap_or_else(|_| vec![path]) {
            found.extend(hosts(&std::fs::read_to_string(file).unwrap_or_default()));
        }
    }
    let values = VARIABLES.iter().filter_map(std::env::var_os);
    found.extend(values.flat_map(|value| hosts(&value.to_string_lossy())));
    found
}

/// The hosts that settings name, without their users and ports.
fn hosts(settings: &str) -> Vec<String> {
    let after_slashes = settings.lines().flat_map(|line| line.split("//").skip(1));
    let authority = after_slashes.filter_map(|rest| rest.split(|c: char| c == '/' || c.is_whitespace()).next());
    let host = authority.filter_map(|authority| authority.rsplit('@').next()?.split(':').next());
    // A name without a dot is a word of many texts.
    let telling = host.filter(|host| host.contains('.') && !host.starts_with("127.") && !host.ends_with(".github.com"));
    telling.map(|host| host.trim_matches(['"', '\'', ',', ';']).to_owned()).collect()
}

/// Whether a text holds a name that is not part of a longer one.
fn names_exactly(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(|c| part_of_name(c) || c == '.') && !after.is_some_and(part_of_name)
    })
}

/// Whether a line names the home of somebody: not a placeholder, not a folder inside another.
fn names_home(line: &str) -> bool {
    let begins =
        |at: usize| !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "_-.}>".contains(c));
    let root = line.match_indices(concat!("/ro", "ot/")).any(|(at, _)| begins(at));
    let mut homes = line.match_indices(concat!("/ho", "me/")).filter(|(at, _)| begins(*at));
    root || homes.any(|(at, home)| line[at + home.len()..].starts_with(|c: char| c.is_ascii_lowercase()))
}
