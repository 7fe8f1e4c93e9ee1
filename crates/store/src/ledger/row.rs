//! How our words stand in rows, both ways. Nothing here touches the database.

use jiff::Timestamp;
use machine_core::intent::{Direction, Event, Intent, Outcome};
use machine_core::machine::Generation;
use machine_core::{Command, Machine, Owner, State};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::fault::Fault;

/// A time as text of one width, so that it sorts as text.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// A value as JSON text.
pub(super) fn json(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Nonsense(error.to_string()))
}

/// A count as the database's signed number.
pub(super) fn number(value: u64) -> Result<i64, Fault> {
    i64::try_from(value).map_err(|_| Fault::unreadable("number", &value.to_string()))
}

/// An outcome's word.
pub(super) const fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Landed => "landed",
        Outcome::TurnedBack(_) => "turned_back",
        Outcome::Superseded => "superseded",
    }
}

/// A row of `machines`.
pub(super) fn machine(row: &SqliteRow) -> Result<Machine, Fault> {
    Ok(Machine {
        id: parsed("id", row.try_get("id")?)?,
        owner: Owner::from(row.try_get::<String, _>("owner")?),
        spec: from_json("spec", row.try_get("spec")?)?,
        state: state("state", row.try_get("state")?)?,
        open: row.try_get::<Option<&str>, _>("open")?.map(command).transpose()?,
        reason: row.try_get("reason")?,
        generation: Generation(count("generation", row.try_get("generation")?)?),
        create_key: row.try_get("create_key")?,
        created_at: parsed("created_at", row.try_get("created_at")?)?,
        started_at: row.try_get::<Option<&str>, _>("started_at")?.map(|at| parsed("started_at", at)).transpose()?,
        stages: from_json("stages", row.try_get("stages")?)?,
        found_ports: Vec::new(),
        warnings: Vec::new(),
    })
}

/// A row of `intents`.
pub(super) fn intent(row: &SqliteRow) -> Result<Intent, Fault> {
    let direction = match row.try_get::<Option<&str>, _>("back")? {
        None => Direction::Forward,
        Some(why) => Direction::Back(from_json("back", why)?),
    };
    Ok(Intent {
        id: parsed("id", row.try_get("id")?)?,
        machine: parsed("machine", row.try_get("machine")?)?,
        command: command(row.try_get("command")?)?,
        from: state("from_state", row.try_get("from_state")?)?,
        to: state("to_state", row.try_get("to_state")?)?,
        direction,
        request: row.try_get("request")?,
        opened_at: parsed("opened_at", row.try_get("opened_at")?)?,
    })
}

/// A row of `events`.
pub(super) fn event(row: &SqliteRow) -> Result<Event, Fault> {
    Ok(Event {
        number: count("number", row.try_get("number")?)?,
        at: parsed("at", row.try_get("at")?)?,
        machine: parsed("machine", row.try_get("machine")?)?,
        what: row.try_get("what")?,
        state: state("state", row.try_get("state")?)?,
        reason: row.try_get("reason")?,
    })
}

fn parsed<T: std::str::FromStr>(column: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::unreadable(column, text))
}

fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Nonsense(format!("not a {column}: {error}")))
}

fn count(column: &str, value: i64) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_| Fault::unreadable(column, &value.to_string()))
}

fn state(column: &str, word: &str) -> Result<State, Fault> {
    State::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| Fault::unreadable(column, word))
}

fn command(word: &str) -> Result<Command, Fault> {
    Command::ALL.into_iter().find(|command| command.word() == word).ok_or_else(|| Fault::unreadable("command", word))
}
