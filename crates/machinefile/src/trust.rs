//! What a file asks of the host beyond its own folder, and what somebody trusted. A file that asks for nothing
//! needs no trust; a changed file must be trusted again, and so must one whose links lead elsewhere now: the guest
//! may write to the project. Records are in `trust_record.rs`.

use std::path::{Path, PathBuf};

use machine_core::Digest;
use machine_core::policy::egress::Entry;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::finding::{Finding, Report};
use crate::model::{Machinefile, Origin, SecretSource};
use crate::paths;
use crate::read::ReadFile;
use crate::rule::Rule;
use crate::source::{Place, Sources};
use crate::walk::opens_reserved;

/// Everything that a file asks trust for, with the digest of the files that ask and of what they ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrustList {
    /// What is asked.
    pub items: Vec<TrustItem>,
    /// Of the Machinefile, all that it extends, and the items.
    pub digest: Digest,
}

/// One thing that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrustItem {
    /// What it would get.
    pub asks: Asks,
    /// The thing itself: a command, a path, an address.
    pub what: String,
    /// Where it stands.
    pub origin: Origin,
}

/// What of the host is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// A command is run on the host at a start or stop.
    Hook,
    /// A command is run on the host, and what it prints is a secret.
    SecretCommand,
    /// A file outside of the project is a secret, or environment.
    FileOutside,
    /// A folder outside of the project, or the home, is in the guest.
    Mount,
    /// Other computers may reach a port.
    PublicPort,
    /// The guest may reach the host, or a private network of it.
    PrivateAddress,
}

impl Asks {
    /// What it would get, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Hook => "runs a command on this computer",
            Self::SecretCommand => "runs a command on this computer for a secret",
            Self::FileOutside => "reads a file outside of the project",
            Self::Mount => "shows the guest a folder outside of the project, or the home",
            Self::PublicPort => "listens where other computers can reach it",
            Self::PrivateAddress => "lets the guest reach this computer or its private networks",
        }
    }
}

/// Gathers what is asked.
struct Gathering<'a> {
    file: &'a Machinefile,
    items: Vec<TrustItem>,
}

impl TrustList {
    /// What a file of this project asks; `files` are those that it was read from.
    #[must_use]
    pub fn asked(file: &Machinefile, folder: &Path, home: Option<&Path>, files: &[ReadFile]) -> Self {
        let mut gathering = Gathering { file, items: Vec::new() };
        gathering.hooks();
        gathering.secrets(folder, home);
        gathering.mounts(folder, home);
        gathering.network();
        let digest = digest(files, &gathering.items);
        Self { items: gathering.items, digest }
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The refusal E090, which names each item at its place.
    #[must_use]
    pub fn refusal(&self, files: &[ReadFile]) -> Report {
        let mut sources = Sources::default();
        for file in files {
            sources.add(file.path.clone(), file.text.clone());
        }
        let findings = self.items.iter().map(|item| {
            let at = place(&item.origin, &sources);
            let what = crate::finding::printable(&item.what);
            let message = format!("not trusted: {}: {what}", item.asks.words());
            Finding::new(Rule::E090, at, &sources, message, "read it, then run `machine trust`".to_owned())
        });
        Report::new(findings.collect(), &sources)
    }
}

impl Gathering<'_> {
    fn ask(&mut self, asks: Asks, what: String, path: &str) {
        let origin = self.file.origins.of(path);
        self.items.push(TrustItem { asks, what, origin });
    }

    fn hooks(&mut self) {
        let hooks = &self.file.hooks;
        let all = [
            ("pre_start", &hooks.pre_start),
            ("post_start", &hooks.post_start),
            ("pre_stop", &hooks.pre_stop),
            ("post_stop", &hooks.post_stop),
        ];
        for (name, commands) in all {
            for (number, command) in commands.iter().enumerate() {
                self.ask(Asks::Hook, format!("{name}: {command}"), &format!("hooks.{name}[{number}]"));
            }
        }
    }

    fn secrets(&mut self, folder: &Path, home: Option<&Path>) {
        let file = self.file;
        let at = |path: &Path| paths::on_host(folder, home, path);
        let outside = |path: &Path| !is_inside(folder, &at(path));
        for (number, secret) in file.secrets.iter().enumerate() {
            let path = format!("secrets[{number}].from");
            match &secret.from {
                SecretSource::Env(_) => {}
                SecretSource::File(from) if !outside(from) => {}
                SecretSource::File(from) => self.ask(Asks::FileOutside, led(from, &at(from)), &path),
                SecretSource::Command(command) => self.ask(Asks::SecretCommand, command.clone(), &path),
            }
        }
        for (number, env) in file.env_files.iter().enumerate().filter(|(_, env)| outside(&env.path)) {
            self.ask(Asks::FileOutside, led(&env.path, &at(&env.path)), &format!("env_files[{number}]"));
        }
    }

    fn mounts(&mut self, folder: &Path, home: Option<&Path>) {
        let file = self.file;
        for (number, mount) in file.mounts.iter().enumerate() {
            let has_home = home.is_some_and(|home| real(home).starts_with(real(&mount.source)));
            if has_home || !is_inside(folder, &mount.source) {
                let shown = if mount.host == Path::new(".") { &mount.source } else { &mount.host };
                self.ask(Asks::Mount, led(shown, &mount.source), &format!("mounts[{number}].host"));
            }
        }
    }

    fn network(&mut self) {
        let file = self.file;
        for (number, forward) in file.ports.iter().enumerate().filter(|(_, port)| !port.listen.ip().is_loopback()) {
            self.ask(Asks::PublicPort, forward.to_string(), &format!("ports[{number}]"));
        }
        let opens = |(_, entry): &(usize, &Entry)| opens_reserved(entry);
        for (number, entry) in file.network.egress.allow.iter().enumerate().filter(opens) {
            self.ask(Asks::PrivateAddress, entry.to_string(), &format!("network.egress.allow[{number}]"));
        }
    }
}

/// Whether a path is in a folder, by its letters and by where links lead. What is not there is judged by letters.
fn is_inside(folder: &Path, path: &Path) -> bool {
    path.starts_with(folder) && (!path.exists() || real(path).starts_with(real(folder)))
}

fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A path as it is written, and where it leads if that is not what its letters say.
fn led(written: &Path, source: &Path) -> String {
    let target = real(source);
    if target == source {
        written.display().to_string()
    } else {
        format!("{} -> {}", written.display(), target.display())
    }
}

/// The digest of files with their names, and of items: no part can pass for the end of another.
fn digest(files: &[ReadFile], items: &[TrustItem]) -> Digest {
    let files = files.iter().flat_map(|file| [file.path.as_str(), file.text.as_str()]);
    let items = items.iter().flat_map(|item| [item.asks.words(), item.what.as_str()]);
    let mut hash = Sha256::new();
    for part in files.chain(["asks"]).chain(items) {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part.as_bytes());
    }
    crate::lock::spelled(&hash.finalize())
}

fn place(origin: &Origin, sources: &Sources) -> Place {
    match origin {
        Origin::Default => Place::start(0),
        Origin::File { path, line } => Place { line: *line, ..Place::start(sources.order(path)) },
    }
}
