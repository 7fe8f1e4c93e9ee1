//! Progress: what is told while long work goes on, one JSON document per line.
//! The last line is the result or the error; the lines before it are reports.

use machine_core::stage::Report;
use serde::{Deserialize, Serialize};

use crate::error::ErrorDetail;
use crate::machine::MachineInfo;
use crate::template::TemplateInfo;
use crate::word::StageWord;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressLine {
    /// The work goes on.
    Report(ReportInfo),
    /// It ended: the machine as it is now.
    Machine(Box<MachineInfo>),
    /// It ended: the template that was built.
    Template(TemplateInfo),
    /// It failed.
    Error(ErrorDetail),
}

/// What is told while long work goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportInfo {
    /// A stage begins.
    Begun {
        /// Which.
        stage: StageWord,
    },
    /// Something worth telling within a stage.
    Told {
        /// Which.
        stage: StageWord,
        /// What.
        text: String,
    },
    /// A stage ended.
    Ended {
        /// Which.
        stage: StageWord,
        /// How long it took, in microseconds.
        micros: u64,
    },
}

impl From<Report> for ReportInfo {
    fn from(report: Report) -> Self {
        match report {
            Report::Begun(stage) => Self::Begun { stage: stage.into() },
            Report::Told(stage, text) => Self::Told { stage: stage.into(), text },
            Report::Ended(time) => Self::Ended { stage: time.stage.into(), micros: time.micros },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_is_by_its_only_key() {
        let line = ProgressLine::Report(ReportInfo::Begun { stage: StageWord::Boot });
        assert_eq!(serde_json::to_string(&line).unwrap(), r#"{"report":{"begun":{"stage":"boot"}}}"#);
        let ended = ReportInfo::Ended { stage: StageWord::Agent, micros: 12 };
        let text = r#"{"report":{"ended":{"stage":"agent","micros":12}}}"#;
        assert_eq!(serde_json::from_str::<ProgressLine>(text).unwrap(), ProgressLine::Report(ended));
    }
}
