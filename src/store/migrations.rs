//! The schema, step by step: the same text for both engines.

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::fault::Unusable;

/// Every step. One that was released is never changed.
pub(super) fn all() -> Migrator {
    let steps = [
        ("journal", include_str!("migrations/0001_journal.sql")),
        ("fleet", include_str!("migrations/0002_fleet.sql")),
        ("applications", include_str!("migrations/0003_applications.sql")),
        ("accounts", include_str!("migrations/0004_accounts.sql")),
        ("notices", include_str!("migrations/0005_notices.sql")),
    ];
    let migrations = steps
        .into_iter()
        .zip(1..)
        .map(|((name, text), version)| Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false));
    Migrator::with_migrations(migrations.collect())
}

/// Why the steps could not be taken.
pub(super) fn unusable(error: MigrateError) -> Unusable {
    match error {
        MigrateError::VersionMissing(_) => Unusable::OtherVersion,
        // No migration was changed since the first release.
        MigrateError::VersionMismatch(_) => Unusable::Development,
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => Unusable::Database(sqlx::Error::Migrate(Box::new(other))),
    }
}
