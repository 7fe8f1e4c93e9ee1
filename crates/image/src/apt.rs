//! Asks the mirror through apt, with state and cache of our own: signatures are checked as the host's
//! apt does, and the host's own sources and lists stay as they are.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host_sources::HostSources;
use crate::tool::{APT_CONFIG, APT_GET, Tool, ToolError};

const APT_CACHE: Tool = Tool { name: "apt-cache", package: "apt" };
/// How the host reaches its mirror; nothing that would lower what it checks of its own accord.
const CARRIED_OPTIONS: [&str; 7] = [
    "Acquire::http::",
    "Acquire::https::",
    "Acquire::Check-",
    "Acquire::Min-ValidTime",
    "Acquire::Max-ValidTime",
    "Acquire::Retries",
    "Acquire::ForceIPv",
];

/// Why apt could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The private folders could not be made.
    #[error("cannot prepare apt's private folder {}", path.display())]
    Prepare {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mirror has no such package.
    #[error("the mirror's suite {suite} has no package {package}")]
    NoPackage {
        /// The package.
        package: String,
        /// Where it was looked for.
        suite: String,
    },
    /// A downloaded file is not where apt should have put it.
    #[error("apt downloaded no file for {package}")]
    NoFile {
        /// The package.
        package: String,
    },
}

/// A package at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    name: String,
    pub(crate) version: String,
    depends: String,
}

impl fmt::Display for Package {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={}", self.name, self.version)
    }
}

impl Package {
    /// The first package whose name starts with `prefix` that this one depends on.
    pub(crate) fn dependency(&self, prefix: &str) -> Option<&str> {
        self.depends.split(',').filter_map(|one| one.split_whitespace().next()).find(|name| name.starts_with(prefix))
    }
}

/// apt with folders of its own under one root.
pub(crate) struct PrivateApt {
    root: PathBuf,
    config: PathBuf,
    suite: String,
}

impl PrivateApt {
    /// Lays out the folders for `sources` and fetches the indexes.
    pub(crate) fn prepare(root: &Path, sources: &HostSources, heard: &dyn Fn(&str)) -> Result<Self, AptError> {
        for folder in ["sources", "state/lists/partial", "cache/archives/partial"] {
            write(&root.join(folder), |path| fs::create_dir_all(path))?;
        }
        write(&root.join("status"), |path| fs::write(path, ""))?;
        write(&root.join("sources/host.sources"), |path| fs::write(path, sources.deb822()))?;
        let config = root.join("apt.conf");
        let text = configuration(root, &host_options(heard)?);
        write(&config, |path| fs::write(path, text))?;
        let suites: Vec<_> = sources.entries.iter().flat_map(|entry| entry.suites.clone()).collect();
        let apt = Self { root: root.to_owned(), config, suite: suites.join(", ") };
        let mut update = apt.command(APT_GET)?;
        update.args(["-q", "-o", "APT::Update::Error-Mode=any", "update"]);
        APT_GET.run(update, heard)?;
        Ok(apt)
    }

    fn command(&self, tool: Tool) -> Result<Command, ToolError> {
        let mut command = tool.command()?;
        command.env("APT_CONFIG", &self.config).env_remove("SOURCE_DATE_EPOCH").current_dir(&self.root);
        Ok(command)
    }

    /// The newest version of `name`.
    pub(crate) fn show(&self, name: &str, heard: &dyn Fn(&str)) -> Result<Package, AptError> {
        let found = self.show_all(&[name.to_owned()], heard)?;
        found.into_iter().next().ok_or_else(|| self.missing(name))
    }

    /// The newest version of each, all of which must be there.
    pub(crate) fn show_all(&self, names: &[String], heard: &dyn Fn(&str)) -> Result<Vec<Package>, AptError> {
        let mut show = self.command(APT_CACHE)?;
        show.args(["show", "--no-all-versions"]).args(names);
        // Where there is one of them, it tells of that and succeeds.
        let answer = match APT_CACHE.run(show, heard) {
            Ok(answer) => answer,
            Err(ToolError::Failed { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8_lossy(&answer);
        let found: Vec<Package> = text.split("\n\n").filter_map(package).collect();
        match names.iter().find(|name| !found.iter().any(|package| package.name == **name)) {
            Some(name) => Err(self.missing(name)),
            None => Ok(found),
        }
    }

    fn missing(&self, package: &str) -> AptError {
        AptError::NoPackage { package: package.to_owned(), suite: self.suite.clone() }
    }

    /// Downloads `package`, checked by its signed index.
    pub(crate) fn download(&self, package: &Package, heard: &dyn Fn(&str)) -> Result<PathBuf, AptError> {
        let mut download = self.command(APT_GET)?;
        download.args(["-q", "download"]).arg(package.to_string());
        APT_GET.run(download, heard)?;
        let start = format!("{}_", package.name);
        let found = fs::read_dir(&self.root)
            .map_err(|source| AptError::Prepare { path: self.root.clone(), source })?
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().starts_with(&start));
        found.map(|entry| entry.path()).ok_or_else(|| AptError::NoFile { package: package.name.clone() })
    }

    /// When the mirror made its newest index, in seconds since 1970: the date that a build gives its files.
    pub(crate) fn released(&self) -> Option<i64> {
        let lists = fs::read_dir(self.root.join("state/lists")).ok()?;
        lists
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().ends_with("Release"))
            .filter_map(|entry| release_date(&fs::read_to_string(entry.path()).ok()?))
            .max()
    }
}

fn write(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), AptError> {
    make(path).map_err(|source| AptError::Prepare { path: path.to_owned(), source })
}

/// The host's options for reaching its mirror, as apt configuration lines.
pub(crate) fn host_options(heard: &dyn Fn(&str)) -> Result<Vec<String>, ToolError> {
    let mut dump = APT_CONFIG.command()?;
    dump.arg("dump");
    let answer = APT_CONFIG.run(dump, heard)?;
    Ok(carried(&String::from_utf8_lossy(&answer)))
}

fn carried(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| CARRIED_OPTIONS.iter().any(|option| line.starts_with(option)))
        .filter(|line| !line.ends_with(" \"\";"))
        .map(str::to_owned)
        .collect()
}

fn configuration(root: &Path, options: &[String]) -> String {
    let root = root.display();
    let mut text = String::new();
    for (key, value) in [
        ("Dir::Etc::SourceList", "/dev/null".to_owned()),
        ("Dir::Etc::SourceParts", format!("{root}/sources")),
        ("Dir::Etc::Main", "/dev/null".to_owned()),
        ("Dir::Etc::Parts", "/dev/null".to_owned()),
        ("Dir::Etc::Preferences", "/dev/null".to_owned()),
        ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
        ("Dir::State", format!("{root}/state")),
        ("Dir::State::Status", format!("{root}/status")),
        ("Dir::Cache", format!("{root}/cache")),
        ("Acquire::Languages", "none".to_owned()),
        // The folders are the building user's: apt's own user could not write into them.
        ("APT::Sandbox::User", "root".to_owned()),
    ] {
        let _ = writeln!(text, "{key} \"{value}\";");
    }
    for line in options {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn package(stanza: &str) -> Option<Package> {
    let field =
        |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    Some(Package { name: field("Package")?, version: field("Version")?, depends: field("Depends").unwrap_or_default() })
}

fn release_date(text: &str) -> Option<i64> {
    let date = text.lines().find_map(|line| line.strip_prefix("Date: "))?.trim();
    let date = date.replace(" UTC", " +0000");
    let at = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(&date).ok()?;
    Some(at.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_index_is_read() {
        let text = "Origin: Debian\nDate: Sat, 10 Jan 2026 10:58:20 UTC\n";
        assert_eq!(release_date(text), Some(1_768_042_700));
    }

    #[test]
    fn a_metapackage_names_the_kernel_it_stands_for() {
        let text = "Package: linux-image-cloud-amd64\nVersion: 6.12.9-1\nDepends: other, linux-image-6.12.9-cloud-amd64 (= 6.12.9-1)\n";
        let package = package(text).unwrap();
        assert_eq!(package.dependency("linux-image-"), Some("linux-image-6.12.9-cloud-amd64"));
    }

    #[test]
    fn only_the_ways_to_the_mirror_are_carried_over() {
        let dump = "APT \"\";\nAcquire::http::Proxy \"http://p.test\";\nAcquire::https \"\";\nAcquire::https::Verify-Peer \"\";\nAcquire::AllowInsecureRepositories \"1\";\n";
        assert_eq!(carried(dump), ["Acquire::http::Proxy \"http://p.test\";"]);
    }
}
