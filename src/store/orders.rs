//! What is known of orders from earlier, and how long changes took.

use std::{path::PathBuf, time::Duration};

use sqlx::{Row, sqlite::SqliteRow};

use super::{OrderMemory, Store, journal::unreadable};
use crate::{error::Result, name::Name, order::OrderId};

/// How many measured delays of a zone and provider instance are kept.
const DELAYS_KEPT: i64 = 20;

const COLUMNS: &str =
    "SELECT origin, id, generation, domains, baseline_certificate, was_pending, finished, delivered, hook_pending FROM orders";

impl Store {
    /// Keeps what is known of an order, replacing what was known before.
    pub async fn remember(&self, memory: &OrderMemory) -> Result<()> {
        let domains = serde_json::to_string(&memory.domains).map_err(unreadable)?;
        let generation = serde_json::to_string(&memory.generation).map_err(unreadable)?;
        sqlx::query(
            "INSERT OR REPLACE INTO orders
             (origin, id, generation, domains, baseline_certificate, was_pending, finished, delivered, hook_pending)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&memory.origin)
        .bind(memory.id.as_str())
        .bind(generation)
        .bind(domains)
        .bind(&memory.baseline_certificate)
        .bind(memory.was_pending)
        .bind(memory.finished)
        .bind(memory.delivered.as_ref().map(|path| path.to_string_lossy().into_owned()))
        .bind(memory.hook_pending)
        .execute(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// What is known of an order.
    pub async fn recall(&self, origin: &str, id: &OrderId) -> Result<Option<OrderMemory>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE origin = ? AND id = ?")))
            .bind(origin)
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        row.as_ref().map(memory).transpose()
    }

    /// The orders of an origin that are not finished, or whose hook has yet to run.
    pub async fn unfinished(&self, origin: &str) -> Result<Vec<OrderMemory>> {
        let query = format!("{COLUMNS} WHERE origin = ? AND (NOT finished OR hook_pending) ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(origin)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter().map(memory).collect()
    }

    /// Keeps a measured delay between write and visibility. The latest 20 of a zone and provider instance are kept.
    pub async fn note_delay(&self, zone: &Name, provider: &str, delay: Duration) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("INSERT INTO delay (zone_name, provider, milliseconds) VALUES (?, ?, ?)")
            .bind(zone.as_str())
            .bind(provider)
            .bind(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.failed(error))?;
        sqlx::query(
            "DELETE FROM delay WHERE zone_name = ?1 AND provider = ?2 AND id NOT IN
             (SELECT id FROM delay WHERE zone_name = ?1 AND provider = ?2 ORDER BY id DESC LIMIT ?3)",
        )
        .bind(zone.as_str())
        .bind(provider)
        .bind(DELAYS_KEPT)
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.failed(error))?;
        self.commit(transaction).await
    }

    /// The measured delays of a zone and provider instance, latest last.
    pub async fn delays(&self, zone: &Name, provider: &str) -> Result<Vec<Duration>> {
        let rows = sqlx::query("SELECT milliseconds FROM delay WHERE zone_name = ? AND provider = ? ORDER BY id")
            .bind(zone.as_str())
            .bind(provider)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter()
            .map(|row| row.try_get::<i64, _>(0).map(|millis| Duration::from_millis(millis.unsigned_abs())).map_err(unreadable))
            .collect()
    }
}

fn memory(row: &SqliteRow) -> Result<OrderMemory> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unreadable);
    let flag = |column: &str| row.try_get::<bool, _>(column).map_err(unreadable);
    Ok(OrderMemory {
        origin: text("origin")?,
        id: OrderId::parse(&text("id")?)?,
        generation: serde_json::from_str(&text("generation")?).map_err(unreadable)?,
        domains: serde_json::from_str(&text("domains")?).map_err(unreadable)?,
        baseline_certificate: row.try_get("baseline_certificate").map_err(unreadable)?,
        was_pending: flag("was_pending")?,
        finished: flag("finished")?,
        delivered: row.try_get::<Option<String>, _>("delivered").map_err(unreadable)?.map(PathBuf::from),
        hook_pending: flag("hook_pending")?,
    })
}
