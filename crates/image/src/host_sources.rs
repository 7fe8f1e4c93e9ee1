//! The host's apt sources, read and reduced to what a guest of the same release needs.
//! Knows both file forms; fetches nothing (see apt.rs).

mod deb822;
mod one_line;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What vouches for a source's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// Whatever keys apt trusts anyway.
    HostTrust,
    /// These key files.
    Keyrings(Vec<PathBuf>),
    /// A key written into the source itself, lines as they stand.
    Inline(String),
}

/// One mirror address with the suites it is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AptSource {
    /// The mirror's address.
    pub uri: String,
    /// Suites, such as the release's name.
    pub suites: Vec<String>,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// What its signatures are checked with.
    pub signed_by: SignedBy,
}

/// The sources that a guest of this release uses: main, updates and security suites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSources {
    /// The release's name, as in os-release.
    pub codename: String,
    /// One entry per mirror address.
    pub entries: Vec<AptSource>,
}

/// Why the host's sources cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// os-release names no release.
    #[error("{} names no VERSION_CODENAME", path.display())]
    NoRelease {
        /// The file.
        path: PathBuf,
    },
    /// No source is for the host's own release.
    #[error("no apt source under {} is for the release {codename}", folder.display())]
    NoSource {
        /// Where apt's configuration was looked for.
        folder: PathBuf,
        /// The release.
        codename: String,
    },
}

impl SourcesError {
    /// What the person can do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "the base template is built from the apt sources of a Debian host",
            Self::NoRelease { .. } => "build the base template on Debian 12 or 13",
            Self::NoSource { .. } => "add the release's main suite to the apt sources",
        }
    }
}

impl HostSources {
    /// Reads `etc_apt` (usually `/etc/apt`) for the release that `os_release` names.
    ///
    /// # Errors
    /// When a file cannot be read, or nothing in it is for this release.
    pub fn read(etc_apt: &Path, os_release: &Path) -> Result<Self, SourcesError> {
        let codename =
            codename(&read(os_release)?).ok_or_else(|| SourcesError::NoRelease { path: os_release.to_owned() })?;
        let mut all = Vec::new();
        for path in source_files(etc_apt)? {
            let text = read(&path)?;
            all.extend(match path.extension() {
                Some(extension) if extension == "sources" => deb822::parse(&text),
                Some(_) | None => one_line::parse(&text),
            });
        }
        Self::pick(all, &codename).ok_or_else(|| SourcesError::NoSource { folder: etc_apt.to_owned(), codename })
    }

    /// Keeps what the release needs; `None` where its main suite is not among them.
    fn pick(all: Vec<AptSource>, codename: &str) -> Option<Self> {
        let wanted = [codename.to_owned(), format!("{codename}-updates"), format!("{codename}-security")];
        let mut entries: Vec<AptSource> = Vec::new();
        for mut source in all {
            source.suites.retain(|suite| wanted.contains(suite));
            source.components.retain(|component| component == "main");
            source.suites.retain(|suite| !entries.iter().any(|kept| kept.suites.contains(suite)));
            if !source.suites.is_empty() && !source.components.is_empty() {
                entries.push(source);
            }
        }
        let picked = Self { codename: codename.to_owned(), entries };
        picked.main_entry().is_some().then_some(picked)
    }

    fn main_entry(&self) -> Option<&AptSource> {
        self.entries.iter().find(|entry| entry.suites.contains(&self.codename))
    }

    /// The same sources and the backports suite of the main suite's mirror.
    #[must_use]
    pub fn with_backports(&self) -> Self {
        let mut more = self.clone();
        if let Some(main) = self.main_entry() {
            more.entries.push(AptSource { suites: vec![self.backports()], ..main.clone() });
        }
        more
    }

    /// The name of the release's backports suite.
    #[must_use]
    pub fn backports(&self) -> String {
        format!("{}-backports", self.codename)
    }

    /// The sources as one deb822 file.
    #[must_use]
    pub fn deb822(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let suites = entry.suites.join(" ");
            let components = entry.components.join(" ");
            let _ = write!(text, "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: {components}\n", entry.uri);
            match &entry.signed_by {
                SignedBy::HostTrust => {}
                SignedBy::Inline(key) => {
                    let _ = writeln!(text, "Signed-By:{key}");
                }
                SignedBy::Keyrings(paths) => {
                    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                    let _ = writeln!(text, "Signed-By: {}", paths.join(" "));
                }
            }
            text.push('\n');
        }
        text
    }

    /// Every key file that the sources name.
    #[must_use]
    pub fn keyrings(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in &self.entries {
            if let SignedBy::Keyrings(named) = &entry.signed_by {
                paths.extend(named.iter().cloned());
            }
        }
        paths.sort();
        paths.dedup();
        paths
    }
}

fn read(path: &Path) -> Result<String, SourcesError> {
    fs::read_to_string(path).map_err(|source| SourcesError::Read { path: path.to_owned(), source })
}

/// apt's source files in apt's order: `sources.list`, then the parts by name.
fn source_files(etc_apt: &Path) -> Result<Vec<PathBuf>, SourcesError> {
    let mut files = Vec::new();
    let classic = etc_apt.join("sources.list");
    if classic.is_file() {
        files.push(classic);
    }
    let parts = etc_apt.join("sources.list.d");
    let Ok(folder) = fs::read_dir(&parts) else { return Ok(files) };
    let mut named = Vec::new();
    for entry in folder {
        let entry = entry.map_err(|source| SourcesError::Read { path: parts.clone(), source })?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "sources" || extension == "list") {
            named.push(path);
        }
    }
    named.sort();
    files.extend(named);
    Ok(files)
}

fn codename(os_release: &str) -> Option<String> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "/usr/share/keyrings/archive.gpg";

    fn source(uri: &str, suites: &[&str]) -> AptSource {
        AptSource {
            uri: uri.to_owned(),
            suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
            components: vec!["main".to_owned(), "contrib".to_owned()],
            signed_by: SignedBy::Keyrings(vec![PathBuf::from(KEY)]),
        }
    }

    #[test]
    fn only_the_releases_own_suites_are_kept_and_each_once() {
        let all = vec![
            source("http://a.test/debian", &["bookworm", "bookworm-updates", "bookworm-backports"]),
            source("http://b.test/debian", &["bookworm", "trixie"]),
            source("http://c.test/security", &["bookworm-security"]),
        ];
        let picked = HostSources::pick(all, "bookworm").expect("the main suite is there");
        let kept: Vec<_> = picked.entries.iter().map(|entry| entry.suites.join(" ")).collect();
        assert_eq!(kept, ["bookworm bookworm-updates", "bookworm-security"]);
    }

    #[test]
    fn backports_come_from_the_mirror_of_the_main_suite() {
        let all = vec![source("http://s.test/security", &["x-security"]), source("http://a.test/debian", &["x"])];
        let text = HostSources::pick(all, "x").expect("main").with_backports().deb822();
        assert!(text.ends_with(&format!(
            "Types: deb\nURIs: http://a.test/debian\nSuites: x-backports\nComponents: main\nSigned-By: {KEY}\n\n"
        )));
    }

    #[test]
    fn a_host_without_its_own_release_is_refused() {
        assert!(HostSources::pick(vec![source("http://a.test/", &["sid"])], "bookworm").is_none());
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let all = vec![source("http://a.test/debian", &["x"]), source("http://s.test/security", &["x-security"])];
        let picked = HostSources::pick(all, "x").expect("main");
        assert_eq!(deb822::parse(&picked.deb822()), picked.entries);
    }

    #[test]
    fn both_file_forms_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(folder.path().join("sources.list"), "deb http://a.test/debian x main\n").unwrap();
        fs::write(parts.join("s.sources"), "Types: deb\nURIs: http://s.test/\nSuites: x-security\nComponents: main\n")
            .unwrap();
        fs::write(parts.join("old.list.save"), "deb http://no.test/ x-updates main\n").unwrap();
        let release = folder.path().join("os-release");
        fs::write(&release, "ID=debian\nVERSION_CODENAME=\"x\"\n").unwrap();
        let read = HostSources::read(folder.path(), &release).unwrap();
        let uris: Vec<_> = read.entries.iter().map(|entry| entry.uri.as_str()).collect();
        assert_eq!(uris, ["http://a.test/debian", "http://s.test/"]);
    }
}
