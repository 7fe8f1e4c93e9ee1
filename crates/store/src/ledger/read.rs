//! What the ledger answers. Reads see only what was committed.

use jiff::Timestamp;
use machine_core::Machine;
use machine_core::intent::{Event, Intent};
use sqlx::SqlitePool;

use super::fault::Fault;
use super::row;

pub(super) async fn machines(pool: &SqlitePool, horizon: Timestamp) -> Result<Vec<Machine>, Fault> {
    let rows = sqlx::query(
        "SELECT id, owner, spec, state, open, reason, generation, create_key, created_at, started_at, stages \
         FROM machines WHERE destroyed_at IS NULL OR destroyed_at >= $1 ORDER BY created_at, id",
    );
    let rows = rows.bind(row::time(horizon)).fetch_all(pool).await?;
    rows.iter().map(row::machine).collect()
}

pub(super) async fn unfinished(pool: &SqlitePool) -> Result<Vec<Intent>, Fault> {
    let rows = sqlx::query(
        "SELECT id, machine, command, from_state, to_state, back, request, opened_at \
         FROM intents WHERE outcome IS NULL ORDER BY number",
    );
    rows.fetch_all(pool).await?.iter().map(row::intent).collect()
}

pub(super) async fn events(pool: &SqlitePool, after: u64, limit: u32) -> Result<Vec<Event>, Fault> {
    let rows = sqlx::query(
        "SELECT number, at, machine, what, state, reason FROM events WHERE number > $1 ORDER BY number LIMIT $2",
    );
    let rows = rows.bind(row::number(after)?).bind(i64::from(limit)).fetch_all(pool).await?;
    rows.iter().map(row::event).collect()
}
