//! The PostgreSQL database: reached, brought up to date, and written to once.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    postgres::{PgConnection, PgPoolOptions},
};

use super::{
    database::{WRITERS, in_time},
    fault::{Place, Unusable},
    migrations,
    target::PostgresUrl,
};
use crate::error::Result;

/// Connections of one process at most.
const CONNECTIONS: u32 = 8;

/// How long a statement waits for a connection.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(15);

/// What every connection begins with. Our tables are in a schema of their own. A process that is frozen within a transaction must not hold up
/// the others, nor may one that waits.
const BEGINNING: &str = "SET search_path TO dv_verify; SET idle_in_transaction_session_timeout TO '10s'; \
    SET lock_timeout TO '15s'; SET statement_timeout TO '15s'; SET synchronous_commit TO on";

/// Opens the database, makes what is missing in it, and writes to it, so that a server that does not take writes is found now.
pub(super) async fn open(url: &PostgresUrl, place: &Place) -> Result<PgPool> {
    connect(url).await.map_err(|unusable| unusable.into_error(place))
}

async fn connect(url: &PostgresUrl) -> Result<PgPool, Unusable> {
    let options = url.options()?.application_name("dv-verify").disable_statement_logging();
    // One connection by itself first: the pool would go on trying, and not say why.
    let mut connection = in_time(PgConnection::connect_with(&options)).await?;
    prepare(&mut connection).await?;
    // A failure to say good-bye changes nothing.
    let _ = connection.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_PATIENCE)
        .after_connect(|connection, _| Box::pin(async move { sqlx::raw_sql(BEGINNING).execute(connection).await.map(drop) }));
    Ok(pool.connect_lazy_with(options))
}

/// Brings the schema up to date. One machine at a time does this.
async fn prepare(connection: &mut PgConnection) -> Result<(), Unusable> {
    in_time(async { sqlx::raw_sql(BEGINNING).execute(&mut *connection).await }).await?;
    let mut transaction = in_time(connection.begin()).await?;
    in_time(sqlx::query(WRITERS).execute(&mut *transaction)).await?;
    let known: bool =
        in_time(sqlx::query_scalar("SELECT to_regnamespace('dv_verify') IS NOT NULL").fetch_one(&mut *transaction)).await?;
    if !known {
        in_time(sqlx::query("CREATE SCHEMA dv_verify").execute(&mut *transaction)).await?;
    }
    migrations::all().run(&mut *transaction).await.map_err(migrations::unusable)?;
    in_time(sqlx::query("UPDATE counters SET value = value WHERE name = 'entry'").execute(&mut *transaction)).await?;
    in_time(transaction.commit()).await?;
    Ok(())
}
