//! What is wrong in a file and where: findings, the report that holds all of them, and how they are printed.

use std::fmt::Write as _;

use serde::Serialize;

use crate::rule::Rule;
use crate::source::{Place, Sources};

/// A source line longer than this is not shown: it would hide what is said about it.
const LONGEST_SHOWN: usize = 200;

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule it breaks.
    pub code: Rule,
    /// The file as people call it: from the project's folder.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    #[serde(skip)]
    refuses: Refuses,
    #[serde(skip)]
    shown: Option<Shown>,
}

/// What an error is in the way of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refuses {
    /// Everything for which the file must be understood.
    TheFile,
    /// A start alone: the file says what it means, and this computer does not have it now.
    AStart,
}

/// The line that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    text: String,
    width: usize,
}

/// Everything that was found, in the order of the files and their lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Finding {
    pub(crate) fn new(code: Rule, at: Place, sources: &Sources, message: String, hint: String) -> Self {
        let text = sources.line(at).filter(|text| text.chars().count() <= LONGEST_SHOWN);
        let shown = text.map(|text| Shown { text: printable(text), width: at.width.max(1) });
        let (path, refuses) = (sources.path(at).to_owned(), Refuses::TheFile);
        Self { code, path, line: at.line, column: at.column, message, hint, refuses, shown }
    }

    /// The same, in the way of a start alone.
    pub(crate) fn at_start(self) -> Self {
        Self { refuses: Refuses::AStart, ..self }
    }

    /// As it is printed: the place, the rule and what is wrong; the line with a caret; the fix.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { code, path, line, column, message, hint, refuses: _, shown } = self;
        let mut text = format!("machine: {path}:{line}:{column}: {code} {message}\n");
        if let Some(Shown { text: source, width }) = shown {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let room = source.chars().count().saturating_sub(column - 1).max(1);
            let carets = "^".repeat((*width).min(room));
            let _ = writeln!(text, "  {number} | {source}");
            let _ = writeln!(text, "  {margin} | {}{carets}", " ".repeat(column - 1));
        }
        if !hint.is_empty() {
            let _ = writeln!(text, "  fix: {hint}");
        }
        text
    }
}

impl Report {
    pub(crate) fn new(mut findings: Vec<Finding>, sources: &Sources) -> Self {
        findings.sort_by_key(|finding| (sources.order(&finding.path), finding.line, finding.column, finding.code));
        findings.dedup();
        Self { findings }
    }

    /// All of it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What refuses the file, or a start.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.code.is_warning())
    }

    /// Whether something refuses the file.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.errors().any(|finding| finding.refuses == Refuses::TheFile)
    }

    /// Whether something refuses a start: what refuses the file, or a secret that is not here now.
    #[must_use]
    pub fn refuses_start(&self) -> bool {
        self.errors().next().is_some()
    }

    /// All of it as it is printed.
    #[must_use]
    pub fn render(&self) -> String {
        self.findings.iter().map(Finding::render).collect()
    }
}

/// Whatever stands in the file, a terminal is sent text alone.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
