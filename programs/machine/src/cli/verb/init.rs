//! `init`: writes a Machinefile for the project that is here: short, with comments, committed with it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};

use clap::Args;
use machine_machinefile::detect::{detect, starter_file};

use crate::cli::Desk;
use crate::cli::exit::Failure;

const NAME: &str = "Machinefile";

/// What becomes of a file that is there.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// write over a Machinefile that is there
    #[arg(long)]
    force: bool,
}

/// Writes a Machinefile.
pub(crate) fn init(asked: InitArguments, desk: &Desk) -> Result<u8, Failure> {
    let folder = &desk.context.cwd;
    let kind = detect(folder);
    let text = starter_file(kind);
    let path = folder.join(NAME);
    let mut options = OpenOptions::new();
    options.write(true);
    // Said by the system itself, so that two at once cannot both find nothing.
    if asked.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    match options.open(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::usage(format!("a Machinefile is here already: {}", path.display()))
                .hint("`machine config` shows what it means; --force writes over it"));
        }
        Err(error) => return Err(Failure::path("cannot write", &path, &error)),
    }
    let written = fs::canonicalize(&path).unwrap_or(path);
    if desk.voice.json() {
        desk.voice.document(&serde_json::json!({ "path": written, "kind": kind.word() }))?;
    } else {
        desk.voice.say(&format!("wrote {} for a {} project", written.display(), kind.word()));
        desk.voice.say("next: machine plan, machine start");
    }
    Ok(0)
}
