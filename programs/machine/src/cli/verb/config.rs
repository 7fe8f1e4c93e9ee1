//! `config`: the project's file as it is meant: every key with its value, and where that came from.

use machine_sdk::api::Code;
use serde_json::{Value, json};

use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::project;
use crate::cli::table::{Cell, Tone, table};

/// Prints the resolved file.
pub(crate) fn config(desk: &Desk) -> Result<u8, Failure> {
    let project = project::need(desk)?;
    let lines = project.file.lines();
    if desk.voice.json() {
        let file = serde_json::to_value(&project.file);
        let file =
            file.map_err(|error| Failure::new(Code::InternalError, format!("cannot print the file: {error}")))?;
        let origins = lines.iter().map(|line| (line.key.clone(), json!(line.origin.to_string())));
        let origins: serde_json::Map<String, Value> = origins.collect();
        desk.voice.document(&json!({ "folder": project.folder, "machinefile": file, "origins": origins }))?;
        return Ok(0);
    }
    let rows = lines.iter().map(|line| {
        let value = line.value.as_str().map_or_else(|| line.value.to_string(), str::to_owned);
        vec![Cell::from(line.key.as_str()), value.into(), Cell::toned(line.origin.to_string(), Tone::Quiet)]
    });
    desk.voice.print(&table(&["KEY", "VALUE", "FROM"], &rows.collect::<Vec<_>>(), desk.voice.out.paint))?;
    Ok(0)
}
