//! What the ledger is told. Each function is the body of one transaction that its caller commits;
//! dropped without a commit, nothing happened. Every one of them may be repeated.

use jiff::Timestamp;
use machine_core::intent::{Direction, Intent, Outcome};
use machine_core::{IntentId, Machine, Refusal, State};
use sqlx::{Row, SqliteConnection};

use super::fault::Fault;
use super::row;

const UPSERT_MACHINE: &str = "INSERT INTO machines (id, owner, name, state, open, reason, generation, create_key, \
    created_at, started_at, destroyed_at, spec, stages) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
    ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, name = excluded.name, state = excluded.state, \
    open = excluded.open, reason = excluded.reason, generation = excluded.generation, \
    create_key = excluded.create_key, created_at = excluded.created_at, started_at = excluded.started_at, \
    destroyed_at = COALESCE(machines.destroyed_at, excluded.destroyed_at), \
    spec = excluded.spec, stages = excluded.stages";

/// Whether an intent can still change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Intended {
    Open { machine: String, command: String },
    Closed,
}

pub(super) async fn open(at: &mut SqliteConnection, intent: &Intent, machine: &Machine) -> Result<(), Fault> {
    if intent.machine != machine.id {
        return Err(Fault::Nonsense(format!("intent {} is not about machine {}", intent.id, machine.id)));
    }
    if find(at, &intent.id).await?.is_some() {
        return Ok(());
    }
    let superseded =
        sqlx::query("UPDATE intents SET outcome = $1, closed_at = $2 WHERE machine = $3 AND outcome IS NULL")
            .bind(row::outcome_word(&Outcome::Superseded))
            .bind(row::time(intent.opened_at))
            .bind(machine.id.as_str());
    superseded.execute(&mut *at).await?;
    insert_intent(at, intent).await?;
    record(at, machine, intent.opened_at).await
}

pub(super) async fn note(
    at: &mut SqliteConnection,
    intent: &IntentId,
    step: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    known(at, intent).await?;
    let noted = sqlx::query("INSERT INTO steps (intent, step, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(intent.as_str())
        .bind(step)
        .bind(row::time(now));
    noted.execute(at).await?;
    Ok(())
}

pub(super) async fn turn_back(at: &mut SqliteConnection, intent: &IntentId, why: &Refusal) -> Result<(), Fault> {
    known(at, intent).await?;
    // The first reason stays: later ones are about the way back.
    let turned = sqlx::query("UPDATE intents SET back = $1 WHERE id = $2 AND outcome IS NULL AND back IS NULL")
        .bind(row::json(why)?)
        .bind(intent.as_str());
    turned.execute(at).await?;
    Ok(())
}

pub(super) async fn close(
    at: &mut SqliteConnection,
    intent: &IntentId,
    outcome: &Outcome,
    machine: &Machine,
    now: Timestamp,
) -> Result<(), Fault> {
    let command = match known(at, intent).await? {
        Intended::Closed => return Ok(()),
        Intended::Open { machine: about, .. } if about != machine.id.as_str() => {
            return Err(Fault::Nonsense(format!("intent {intent} is not about machine {}", machine.id)));
        }
        Intended::Open { command, .. } => command,
    };
    let word = row::outcome_word(outcome);
    let closed = sqlx::query("UPDATE intents SET outcome = $1, closed_at = $2 WHERE id = $3")
        .bind(word)
        .bind(row::time(now))
        .bind(intent.as_str());
    closed.execute(&mut *at).await?;
    record(at, machine, now).await?;
    let reason = match outcome {
        Outcome::TurnedBack(why) => Some(why.message.as_str()),
        Outcome::Landed | Outcome::Superseded => None,
    };
    append(at, machine, &format!("{command} {word}"), reason, now).await
}

pub(super) async fn witness(
    at: &mut SqliteConnection,
    machine: &Machine,
    what: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    record(at, machine, now).await?;
    append(at, machine, what, machine.reason.as_deref(), now).await
}

/// Removes what ended before `horizon`: destroyed machines and closed intents. Events stay.
pub(super) async fn forget(at: &mut SqliteConnection, horizon: Timestamp) -> Result<(), Fault> {
    let horizon = row::time(horizon);
    for statement in ["DELETE FROM machines WHERE destroyed_at < $1", "DELETE FROM intents WHERE closed_at < $1"] {
        sqlx::query(statement).bind(&horizon).execute(&mut *at).await?;
    }
    Ok(())
}

async fn find(at: &mut SqliteConnection, intent: &IntentId) -> Result<Option<Intended>, Fault> {
    let found = sqlx::query("SELECT machine, command, outcome FROM intents WHERE id = $1").bind(intent.as_str());
    let Some(row) = found.fetch_optional(at).await? else { return Ok(None) };
    Ok(Some(match row.try_get::<Option<&str>, _>("outcome")? {
        Some(_) => Intended::Closed,
        None => Intended::Open { machine: row.try_get("machine")?, command: row.try_get("command")? },
    }))
}

async fn known(at: &mut SqliteConnection, intent: &IntentId) -> Result<Intended, Fault> {
    find(at, intent).await?.ok_or_else(|| Fault::Nonsense(format!("no such intent: {intent}")))
}

async fn insert_intent(at: &mut SqliteConnection, intent: &Intent) -> Result<(), Fault> {
    let back = match &intent.direction {
        Direction::Forward => None,
        Direction::Back(why) => Some(row::json(why)?),
    };
    let inserted = sqlx::query(
        "INSERT INTO intents (id, machine, command, from_state, to_state, back, request, opened_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    let inserted = inserted
        .bind(intent.id.as_str())
        .bind(intent.machine.as_str())
        .bind(intent.command.word())
        .bind(intent.from.word())
        .bind(intent.to.word())
        .bind(back)
        .bind(intent.request.as_deref())
        .bind(row::time(intent.opened_at));
    inserted.execute(at).await?;
    Ok(())
}

/// Writes where a machine stands. One that rests absent was never made: its row goes, its name is free.
async fn record(at: &mut SqliteConnection, machine: &Machine, now: Timestamp) -> Result<(), Fault> {
    if machine.state == State::Absent && machine.open.is_none() {
        sqlx::query("DELETE FROM machines WHERE id = $1").bind(machine.id.as_str()).execute(at).await?;
        return Ok(());
    }
    let upsert = sqlx::query(UPSERT_MACHINE)
        .bind(machine.id.as_str())
        .bind(machine.owner.as_str())
        .bind(machine.spec.name.as_ref().map(machine_core::MachineName::as_str))
        .bind(machine.state.word())
        .bind(machine.open.map(machine_core::Command::word))
        .bind(machine.reason.as_deref())
        .bind(row::number(machine.generation.0)?)
        .bind(machine.create_key.as_deref())
        .bind(row::time(machine.created_at))
        .bind(machine.started_at.map(row::time))
        .bind((machine.state == State::Destroyed).then(|| row::time(now)))
        .bind(row::json(&machine.spec)?)
        .bind(row::json(&machine.stages)?);
    match upsert.execute(at).await {
        Ok(_) => Ok(()),
        // The id is settled by the upsert itself, so that only the name can be in the way.
        Err(error) if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) => {
            Err(Fault::NameTaken(machine.called().to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn append(
    at: &mut SqliteConnection,
    machine: &Machine,
    what: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    let appended = sqlx::query("INSERT INTO events (at, machine, what, state, reason) VALUES ($1, $2, $3, $4, $5)")
        .bind(row::time(now))
        .bind(machine.id.as_str())
        .bind(what)
        .bind(machine.state.word())
        .bind(reason);
    appended.execute(at).await?;
    Ok(())
}
