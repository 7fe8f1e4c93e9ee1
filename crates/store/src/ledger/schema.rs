//! The ledger's schema: one file per version in `migration/`, compiled in. Written files never change.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlitePool};

use super::fault::Fault;

const VERSIONS: &[(i64, &str, &str)] = &[(1, "ledger", include_str!("../../migration/0001_ledger.sql"))];

/// Brings a ledger of this version or an older one to this version's schema; refuses a newer one.
pub(super) async fn bring_up_to_date(pool: &SqlitePool) -> Result<(), Fault> {
    let migration = |(version, description, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let migrator = Migrator::with_migrations(VERSIONS.iter().map(migration).collect());
    migrator.run(pool).await.map_err(explain)
}

fn explain(error: MigrateError) -> Fault {
    let newest = VERSIONS.last().map_or(0, |(version, ..)| *version);
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Fault::Sql(error),
        MigrateError::VersionMissing(version) if version > newest => Fault::Nonsense(format!(
            "it was written by a newer version of machine (schema {version}; this one knows {newest}): \
             install that version again, or use another home"
        )),
        other => Fault::Nonsense(other.to_string()),
    }
}
