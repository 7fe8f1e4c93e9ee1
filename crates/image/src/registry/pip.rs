//! pip: wheels for the guest's Python, unpacked below the guest's /usr/local. A wheel holds files alone; what
//! would have to be built, and so run, is refused.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{RegistryError, Shopping, at, guarded};
use crate::ownership::Ownership;
use crate::tool::{PIP, ToolError};

/// The newest C library that a wheel may ask for: Debian 12's.
const GLIBC_MINOR: u32 = 36;

/// Installs the wheels that are asked for; the answer is `pip:name=version` of each.
pub(super) fn install(
    shopping: &Shopping<'_>,
    work: &Path,
    ownership: Ownership,
    heard: &dyn Fn(&str),
) -> Result<Vec<String>, RegistryError> {
    let tree = work.join("tree");
    fs::create_dir_all(&tree).map_err(at(&tree))?;
    configure(work, heard)?;
    let mut command = guarded::command(PIP, work, ownership)?;
    let place = guarded::PLACE;
    command.env("PIP_CONFIG_FILE", format!("{place}/pip.conf")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["install", "--quiet", "--only-binary=:all:", "--no-compile", "--no-cache-dir", "--retries=2"]);
    command.args(["--disable-pip-version-check", "--implementation=cp", "--python-version", shopping.python]);
    command.args(platforms()).args(["--target", &format!("{place}/tree")]).arg("--").args(shopping.pip);
    PIP.run(command, heard).map_err(refused)?;
    let installed = installed(&tree)?;
    lay_out(&tree, shopping)?;
    fs::remove_dir_all(work).map_err(at(work))?;
    Ok(installed)
}

/// Every kind of Linux that the guest is, the newest first.
fn platforms() -> impl Iterator<Item = String> {
    let numbered = (5..=GLIBC_MINOR).rev().map(|minor| format!("--platform=manylinux_2_{minor}_x86_64"));
    let named = ["manylinux2014", "manylinux2010", "manylinux1", "linux"];
    numbered.chain(named.map(|name| format!("--platform={name}_x86_64")))
}

/// The building user's own settings, in a file that nobody may read for as long as it takes.
fn configure(work: &Path, heard: &dyn Fn(&str)) -> Result<(), RegistryError> {
    let mut ask = PIP.command()?;
    ask.args(["config", "list"]).current_dir(work);
    let answer = PIP.run(ask, heard)?;
    let copy = work.join("pip.conf");
    fs::write(&copy, settings(&String::from_utf8_lossy(&answer))).map_err(at(&copy))
}

/// `global.index-url='x'`, a line each, as a file of settings. The environment's own are passed on by themselves.
fn settings(list: &str) -> String {
    let mut text = String::new();
    for line in list.lines().filter(|line| !line.starts_with(':')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let Some((section, key)) = key.split_once('.') else { continue };
        let value = value.trim_matches(['\'', '"']).replace("\\n", "\n  ");
        let _ = writeln!(text, "[{section}]\n{key} = {value}");
    }
    text
}

/// pip's folder becomes what Debian's Python looks through for everybody's packages; programs go to the others.
fn lay_out(tree: &Path, shopping: &Shopping<'_>) -> Result<(), RegistryError> {
    for (name, place) in [("bin", "bin"), ("share", "share"), ("etc", "etc")] {
        let from = tree.join(name);
        if from.is_dir() {
            move_into(&from, &shopping.target.join(place))?;
        }
    }
    let packages = shopping.target.join(format!("lib/python{}/dist-packages", shopping.python));
    move_into(tree, &packages)
}

/// Moves what is in one folder to another, which may hold something already.
fn move_into(from: &Path, to: &Path) -> Result<(), RegistryError> {
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))?.filter_map(Result::ok) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() && target.is_dir() {
            move_into(&path, &target)?;
        } else {
            fs::rename(&path, &target).map_err(at(&target))?;
        }
    }
    fs::remove_dir(from).map_err(at(from))
}

/// What was unpacked, by the folders that describe it: `name-1.2.dist-info`.
fn installed(tree: &Path) -> Result<Vec<String>, RegistryError> {
    let entries = fs::read_dir(tree).map_err(at(tree))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let described = names.filter_map(|name| {
        let (name, version) = name.strip_suffix(".dist-info")?.split_once('-')?;
        Some(format!("pip:{name}={version}"))
    });
    Ok(described.collect())
}

/// Tells a package without a wheel from everything else.
fn refused(error: ToolError) -> RegistryError {
    let ToolError::Failed { last_lines, .. } = &error else { return error.into() };
    let named = ["No matching distribution found for ", "satisfies the requirement "];
    let missing = last_lines.lines().find_map(|line| named.iter().find_map(|words| Some(line.split_once(words)?.1)));
    match missing {
        Some(rest) => {
            let package = rest.split(" (").next().unwrap_or(rest).trim().to_owned();
            RegistryError::NoWheel { package }
        }
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_settings_are_carried_over_and_its_environments_are_not() {
        let list = ":env:.cert='/a'\nglobal.index-url='http://p.test/simple'\ninstall.find-links='/a\\n/b'\n";
        assert_eq!(settings(list), "[global]\nindex-url = http://p.test/simple\n[install]\nfind-links = /a\n  /b\n");
    }

    #[test]
    fn a_package_without_a_wheel_is_named() {
        let last_lines = "ERROR: Could not find a version that satisfies the requirement x==9 (from versions: none)";
        let error = ToolError::Failed { tool: "pip3", status: "1".to_owned(), last_lines: last_lines.to_owned() };
        let refused = refused(error);
        assert!(matches!(&refused, RegistryError::NoWheel { package } if package == "x==9"), "{refused}");
        assert!(refused.hint().unwrap().contains("wheel"));
    }

    #[test]
    fn wheels_are_laid_out_for_debians_python() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, target) = (folder.path().join("tree"), folder.path().join("local"));
        for path in ["bin/tool", "mod/a.py", "mod-1.2.dist-info/RECORD"] {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), "x").unwrap();
        }
        fs::create_dir_all(target.join("bin")).unwrap();
        assert_eq!(super::installed(&tree).unwrap(), ["pip:mod=1.2"]);
        let shopping = Shopping { npm: &[], pip: &[], python: "3.11", target: &target };
        lay_out(&tree, &shopping).unwrap();
        assert!(target.join("bin/tool").exists() && !tree.exists());
        assert!(target.join("lib/python3.11/dist-packages/mod/a.py").exists());
    }
}
