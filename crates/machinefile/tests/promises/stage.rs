//! A project in a folder of its own, and a host that is the same everywhere.

use std::path::Path;

use machine_core::MiB;
use machine_machinefile::{Host, Machinefile, Project, Reading, read};

pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
}

/// Four processors, 8 GiB, nobody's home, ports from 1024 on.
pub(crate) fn host() -> Host {
    Host { cpus: 4, memory: MiB(8192), home: None, first_port: 1024 }
}

impl Stage {
    pub(crate) fn new(text: &str) -> Self {
        let stage = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        stage.write("Machinefile", text);
        stage
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it is in the stage")).expect("a folder can be made");
        std::fs::write(path, text).expect("a file can be written");
    }

    pub(crate) fn project(&self) -> Project {
        Project { folder: self.path().to_owned(), file: self.path().join("Machinefile") }
    }

    /// Reads it where `WHO` and `NPM_TOKEN` are set.
    pub(crate) fn read(&self) -> Reading {
        read(&self.project(), &host(), &|name| match name {
            "WHO" => Some("world".to_owned()),
            "NPM_TOKEN" => Some("hidden".to_owned()),
            _ => None,
        })
    }

    pub(crate) fn model(&self) -> Machinefile {
        let reading = self.read();
        assert_eq!(reading.report.render(), "");
        reading.machinefile.expect("nothing refuses it")
    }
}

/// The rules that a file breaks, with their places: `E002 7:3`.
pub(crate) fn broken(text: &str) -> Vec<String> {
    places(&Stage::new(text).read())
}

pub(crate) fn places(reading: &Reading) -> Vec<String> {
    let findings = reading.report.findings().iter();
    findings.map(|finding| format!("{} {}:{}", finding.code, finding.line, finding.column)).collect()
}
