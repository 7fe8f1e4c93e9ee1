//! Reads a project's file: text, tree, merge, walk. All that is wrong is told at once.

use std::path::Path;

use machine_core::MachineName;

use crate::find::Project;
use crate::finding::{Finding, Report};
use crate::host::Host;
use crate::merge;
use crate::model::Machinefile;
use crate::rule::Rule;
use crate::source::Sources;
use crate::walk::{Lookup, Walk};

/// What came of reading a file.
#[derive(Debug)]
pub struct Reading {
    /// What it means; absent if anything refuses it.
    pub machinefile: Option<Machinefile>,
    /// The machine's name, whatever else is wrong: verbs that look at a machine, stop it or destroy it need no
    /// more. Absent if the file cannot be read as YAML, or the name is none.
    pub name: Option<MachineName>,
    /// Errors and warnings.
    pub report: Report,
    /// The files that it was read from, the Machinefile first: path from the project's folder, and text.
    pub files: Vec<ReadFile>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    /// Its path from the project's folder.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// Reads the file of a project and all that it extends. `lookup` gives the host's variables.
pub fn read(project: &Project, host: &Host, lookup: Lookup<'_>) -> Reading {
    let mut sources = Sources::default();
    let (tree, refused) = merge::load(project, &mut sources);
    let mut walk = Walk::new(&sources, host, &project.folder, lookup);
    let file = walk.file(&tree);
    let mut findings = std::mem::take(&mut walk.findings);
    let is_whole = refused.iter().all(|(rule, _)| *rule == Rule::E001);
    let is_named = findings.iter().all(|finding| finding.code != Rule::E004);
    let name = (is_whole && is_named).then(|| file.name.clone());
    findings.extend(
        refused
            .into_iter()
            .map(|(rule, refused)| Finding::new(rule, refused.at, &sources, refused.message, refused.hint)),
    );
    let report = Report::new(findings, &sources);
    let files = sources.paths().map(|(path, text)| ReadFile { path: path.to_owned(), text: text.to_owned() }).collect();
    Reading { machinefile: (!report.refuses()).then_some(file), name, report, files }
}

/// A path as people call it: from the project's folder.
pub(crate) fn from_folder(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}
