//! What was measured, for people and for files.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::figures::Figures;

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    at: Timestamp,
    host: Host,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Host {
    cpus: usize,
    kernel: String,
    load_before: String,
}

#[derive(Debug, Serialize)]
struct Line {
    what: String,
    unit: &'static str,
    #[serde(flatten)]
    figures: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_of_medians: Option<f64>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let host = Host { cpus, kernel: read("/proc/sys/kernel/osrelease"), load_before: read("/proc/loadavg") };
        Self { at: Timestamp::now(), host, lines: Vec::new() }
    }

    /// Adds figures, and their ratio to a plain median in the same unit.
    pub(crate) fn line(&mut self, what: impl Into<String>, unit: &'static str, figures: Figures, plain: Option<f64>) {
        let ratio_of_medians = plain.map(|plain| figures.p50 / plain);
        self.lines.push(Line { what: what.into(), unit, figures, ratio_of_medians });
    }

    /// Adds one number.
    pub(crate) fn single(&mut self, what: impl Into<String>, unit: &'static str, value: f64) {
        self.line(what, unit, Figures { count: 1, least: value, p50: value, p95: value }, None);
    }

    /// Tells it on standard output.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        println!("{:<64} {:>5} {:>9} {:>9} {:>9}  {:>6}", "", "n", "least", "p50", "p95", "ratio");
        for line in &self.lines {
            let ratio = line.ratio_of_medians.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let Figures { count, least, p50, p95 } = line.figures;
            println!("{:<64} {count:>5} {least:>9.2} {p50:>9.2} {p95:>9.2}  {ratio:>6} {}", line.what, line.unit);
        }
        Ok(())
    }

    /// Writes the report under the time it began.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let name = self.at.strftime("%Y-%m-%dT%H%M%SZ.json").to_string();
        let path = folder.join(name);
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(self)?))?;
        Ok(path)
    }
}
