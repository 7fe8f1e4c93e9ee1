//! From a tree to the typed model, one section a file. A walk never stops at an error: it notes it and goes on
//! with the default, so that all errors are told at once.

mod base;
mod environment;
mod fields;
#[cfg(test)]
pub(crate) mod keys;
mod mounts;
mod network;
mod ports;
mod provision;
pub(crate) mod refused;
mod scalars;
mod services;
mod settings;
mod software;
mod substitute;

use std::collections::BTreeMap;
use std::path::Path;

use crate::finding::Finding;
use crate::host::Host;
use crate::model::{Isolation, Machinefile, Origin, Origins};
use crate::rule::Rule;
use crate::source::{Place, Sources};
use crate::tree::Node;

pub(crate) use environment::is_variable;
pub(crate) use fields::Fields;
pub(crate) use network::opens_reserved;

/// The variables of the host.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The keys of the file itself that this build honours.
pub(crate) const KEYS: &[&str] = &[
    "version",
    "extends",
    "name",
    "base",
    "resources",
    "root",
    "packages",
    "containers",
    "agents",
    "env",
    "env_files",
    "secrets",
    "user",
    "workdir",
    "mounts",
    "ports",
    "provision",
    "services",
    "ready",
    "hooks",
    "timeouts",
    "isolation",
    "network",
    "labels",
];

/// A walk over one merged tree.
pub(crate) struct Walk<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) host: &'a Host,
    /// The project's folder.
    pub(crate) folder: &'a Path,
    pub(crate) lookup: Lookup<'a>,
    pub(crate) findings: Vec<Finding>,
    origins: BTreeMap<String, Origin>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(sources: &'a Sources, host: &'a Host, folder: &'a Path, lookup: Lookup<'a>) -> Self {
        Self { sources, host, folder, lookup, findings: Vec::new(), origins: BTreeMap::new() }
    }

    /// The whole file.
    pub(crate) fn file(&mut self, root: &Node) -> Machinefile {
        let fields = self.fields(root, "", KEYS);
        let isolation = self.isolation(&fields);
        let user = self.user(&fields);
        let workdir = self.workdir(&fields);
        let network = self.network(&fields, isolation);
        Machinefile {
            name: self.name(&fields),
            base: self.base(&fields),
            resources: self.resources(&fields),
            root: self.root(&fields),
            packages: self.packages(&fields),
            containers: self.containers(&fields),
            agents: self.agents(&fields),
            env: self.env(&fields),
            env_files: self.env_files(&fields),
            secrets: self.secrets(&fields),
            mounts: self.mounts(&fields, isolation),
            ports: self.ports(&fields, network.mode),
            provision: self.provision(&fields),
            services: self.services(&fields),
            ready: self.ready(&fields),
            hooks: self.hooks(&fields),
            timeouts: self.timeouts(&fields),
            labels: self.labels(&fields),
            isolation,
            user,
            workdir,
            network,
            origins: Origins(std::mem::take(&mut self.origins)),
        }
    }

    fn isolation(&mut self, fields: &Fields<'_>) -> Isolation {
        let words = [("standard", Isolation::Standard), ("strict", Isolation::Strict)];
        self.choice(fields, "isolation", &words, &[]).unwrap_or(Isolation::Standard)
    }

    /// Notes an error or a warning.
    pub(crate) fn note(&mut self, rule: Rule, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding::new(rule, at, self.sources, message.into(), hint.into()));
    }

    /// Notes an error that is in the way of a start alone.
    pub(crate) fn note_for_start(&mut self, rule: Rule, at: Place, message: String, hint: &str) {
        self.findings.push(Finding::new(rule, at, self.sources, message, hint.to_owned()).at_start());
    }

    /// Notes something of the full Machinefile that this build does not do.
    pub(crate) fn not_honoured(&mut self, at: Place, what: &str, hint: &str) {
        self.note(Rule::E011, at, format!("{what} is not honoured by this build yet"), hint);
    }

    /// Notes where a value came from.
    pub(crate) fn came_from(&mut self, path: &str, at: Place) {
        let origin = Origin::File { path: self.sources.path(at).to_owned(), line: at.line };
        self.origins.insert(path.to_owned(), origin);
    }
}
