//! What may happen only so often, over all machines that share the store.

use std::time::Duration;

use super::{Store, database::sql};
use crate::error::Result;

/// The database's time in microseconds since 1970.
macro_rules! now_in_microseconds {
    () => {
        "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT"
    };
}

/// The longest that a turn is put off beyond its interval, in microseconds. A later one was set by a clock that was wrong, and would keep
/// everybody waiting until that time comes.
const LONGEST_POSTPONED: i64 = 24 * 60 * 60 * 1_000_000;

impl Store {
    /// Reserves the next turn for what `name` stands for, which may happen once in `period`, and returns how long to wait for it. Turns are
    /// evenly spaced, first come, first served. On SQLite there is always a turn: one process paces itself.
    pub async fn reserve(&self, name: &str, period: Duration) -> Result<Duration> {
        if !self.is_shared() {
            return Ok(Duration::ZERO);
        }
        self.try_reserve(name, period).await.map_err(|error| self.failed(error))
    }

    async fn try_reserve(&self, name: &str, period: Duration) -> sqlx::Result<Duration> {
        let wait = sql(concat!(
            "INSERT INTO budgets (name, next_free) VALUES ($1, ",
            now_in_microseconds!(),
            " + $2) ON CONFLICT (name) DO UPDATE SET next_free = LEAST(GREATEST(budgets.next_free, ",
            now_in_microseconds!(),
            "), ",
            now_in_microseconds!(),
            // Nobody queues for longer; a later time was set by a clock that was wrong.
            " + 600000000) + $2 RETURNING next_free - $2 - ",
            now_in_microseconds!(),
            " AS wait"
        ))
        .bind(name)
        .bind(i64::try_from(period.as_micros()).unwrap_or(i64::MAX))
        .fetch_one(self.on())
        .await?
        .number("wait")?;
        Ok(Duration::from_micros(u64::try_from(wait).unwrap_or(0)))
    }

    /// Whether it is this run's turn to do what only one machine does in `interval`. Then the others wait for the next.
    pub async fn take_turn(&self, name: &str, interval: Duration) -> Result<bool> {
        self.try_take_turn(name, interval).await.map_err(|error| self.failed(error))
    }

    /// Puts the next turn off to `interval` from now.
    pub async fn postpone_turn(&self, name: &str, interval: Duration) -> Result<()> {
        let postponed = async {
            let next =
                self.now().await?.saturating_mul(1000).saturating_add(i64::try_from(interval.as_micros()).unwrap_or(i64::MAX));
            sql("UPDATE budgets SET next_free = $2 WHERE name = $1").bind(name).bind(next).execute(self.on()).await
        };
        postponed.await.map(drop).map_err(|error| self.failed(error))
    }

    async fn try_take_turn(&self, name: &str, interval: Duration) -> sqlx::Result<bool> {
        let now = self.now().await?.saturating_mul(1000);
        let next = now.saturating_add(i64::try_from(interval.as_micros()).unwrap_or(i64::MAX));
        let taken = sql("INSERT INTO budgets (name, next_free) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET next_free = excluded.next_free WHERE budgets.next_free <= $3 OR budgets.next_free > $4")
        .bind(name)
        .bind(next)
        .bind(now)
        .bind(next.saturating_add(LONGEST_POSTPONED))
        .execute(self.on())
        .await?;
        Ok(taken > 0)
    }
}
