//! How long changes took to become visible.

use std::time::Duration;

use super::{Store, journal::next_number};
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
        sqlx::query("INSERT INTO delays (id, zone_name, provider, milliseconds) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(zone.as_str())
            .bind(provider)
            .bind(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "DELETE FROM delays WHERE zone_name = $1 AND provider = $2 AND id NOT IN
             (SELECT id FROM delays WHERE zone_name = $1 AND provider = $2 ORDER BY id DESC LIMIT $3)",
        )
        .bind(zone.as_str())
        .bind(provider)
        .bind(DELAYS_KEPT)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// The measured delays of a zone and provider instance, latest last.
    pub async fn delays(&self, zone: &Name, provider: &str) -> Result<Vec<Duration>> {
        let delays: Vec<i64> =
            sqlx::query_scalar("SELECT milliseconds FROM delays WHERE zone_name = $1 AND provider = $2 ORDER BY id")
                .bind(zone.as_str())
                .bind(provider)
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.failed(error))?;
        Ok(delays.into_iter().map(|milliseconds| Duration::from_millis(milliseconds.unsigned_abs())).collect())
    }
}
