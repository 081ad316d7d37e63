//! How long changes took to become visible.

use std::time::Duration;

use super::{Store, database::sql, journal::next_number};
use crate::{error::Result, name::Name};

/// How many measured delays of a zone and provider instance are kept.
const DELAYS_KEPT: i64 = 20;

impl Store {
    /// Keeps a measured delay between write and visibility. The latest 20 of a zone and provider instance are kept.
    pub async fn note_delay(&self, zone: &Name, provider: &str, delay: Duration) -> Result<()> {
        self.try_note_delay(zone, provider, delay).await.map_err(|error| self.failed(error))
    }

    async fn try_note_delay(&self, zone: &Name, provider: &str, delay: Duration) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        let id = next_number(&mut transaction, "delay").await?;
        sql("INSERT INTO delays (id, zone_name, provider, milliseconds) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(zone.as_str())
            .bind(provider)
            .bind(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
            .execute(transaction.on())
            .await?;
        sql("DELETE FROM delays WHERE zone_name = $1 AND provider = $2 AND id NOT IN
             (SELECT id FROM delays WHERE zone_name = $1 AND provider = $2 ORDER BY id DESC LIMIT $3)")
        .bind(zone.as_str())
        .bind(provider)
        .bind(DELAYS_KEPT)
        .execute(transaction.on())
        .await?;
        transaction.commit().await
    }

    /// The measured delays of a zone and provider instance, latest last.
    pub async fn delays(&self, zone: &Name, provider: &str) -> Result<Vec<Duration>> {
        self.try_delays(zone, provider).await.map_err(|error| self.failed(error))
    }

    async fn try_delays(&self, zone: &Name, provider: &str) -> sqlx::Result<Vec<Duration>> {
        let rows = sql("SELECT milliseconds FROM delays WHERE zone_name = $1 AND provider = $2 ORDER BY id")
            .bind(zone.as_str())
            .bind(provider)
            .fetch_all(self.on())
            .await?;
        rows.iter().map(|row| Ok(Duration::from_millis(row.number("milliseconds")?.unsigned_abs()))).collect()
    }
}
