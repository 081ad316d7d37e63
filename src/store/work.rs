//! Orders that `watch` is to carry through, and which machine has which.

use std::time::Duration;

use super::{
    Store,
    database::{Row, sql},
    fault::undecodable,
};
use crate::{error::Result, order::OrderId};

/// One order to be carried through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The order.
    pub id: OrderId,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure, for people.
    pub last_error: Option<String>,
    /// When it was first seen waiting.
    pub since: jiff::Timestamp,
    /// When it is tried again at the earliest.
    pub due: jiff::Timestamp,
    /// The run that has it now.
    pub claimed_by: Option<String>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is left to do.
    Done,
    /// It failed, and is tried again after this time.
    Failed {
        /// How long to leave it alone.
        after: Duration,
        /// Why, for people.
        error: String,
    },
    /// Nobody's failure: it is due again after this time.
    Later(Duration),
}

macro_rules! select_work {
    ($rest:literal) => {
        concat!("SELECT id, failures, last_error, since, due, claimed_by, claimed_until FROM work WHERE origin = $1 AND ", $rest)
    };
}

impl Store {
    /// Forgets the claims of processes before this one, on SQLite. Where one of them lives, the lock on its order keeps the order.
    pub async fn begin_watching(&self, origin: &str) -> Result<()> {
        if self.is_shared() {
            return Ok(());
        }
        let forgotten =
            sql("UPDATE work SET claimed_by = NULL, claimed_until = 0 WHERE origin = $1").bind(origin).execute(self.on());
        forgotten.await.map(drop).map_err(|error| self.failed(error))
    }

    /// Puts orders in that are not there yet; due at once.
    pub async fn enqueue(&self, origin: &str, ids: &[OrderId]) -> Result<()> {
        self.try_enqueue(origin, ids).await.map_err(|error| self.failed(error))
    }

    async fn try_enqueue(&self, origin: &str, ids: &[OrderId]) -> sqlx::Result<()> {
        let now = self.now().await?;
        let mut transaction = self.begin().await?;
        for id in ids {
            sql("INSERT INTO work (origin, id, since, due, failures, claimed_until) VALUES ($1, $2, $3, $3, 0, 0) ON CONFLICT DO NOTHING")
                .bind(origin)
                .bind(id.as_str())
                .bind(now)
                .execute(transaction.on())
                .await?;
        }
        transaction.commit().await
    }

    /// Claims at most `limit` orders that are due and that nobody has, the longest due first. A claim lasts as long as this run says that it
    /// lives; on SQLite until [`Store::begin_watching`].
    pub async fn claim(&self, origin: &str, limit: usize) -> Result<Vec<Work>> {
        self.try_claim(origin, limit).await.map_err(|error| self.failed(error))
    }

    async fn try_claim(&self, origin: &str, limit: usize) -> sqlx::Result<Vec<Work>> {
        let now = self.now().await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // Machines that claim at the same time pass over one another's rows instead of waiting. SQLite has one writer, and no such words.
        let select = if self.is_shared() {
            select_work!("due <= $2 AND claimed_until <= $2 ORDER BY due, id LIMIT $3 FOR UPDATE SKIP LOCKED")
        } else {
            select_work!("due <= $2 AND claimed_until <= $2 ORDER BY due, id LIMIT $3")
        };
        let mut transaction = self.begin_beside().await?;
        let rows = sql(select).bind(origin).bind(now).bind(limit).fetch_all(transaction.on()).await?;
        let claimed = rows.iter().map(|row| work(row, now)).collect::<sqlx::Result<Vec<_>>>()?;
        for work in &claimed {
            sql("UPDATE work SET claimed_by = $3, claimed_until = $4 WHERE origin = $1 AND id = $2")
                .bind(origin)
                .bind(work.id.as_str())
                .bind(self.run())
                .bind(now.saturating_add(self.claim_lasts()))
                .execute(transaction.on())
                .await?;
        }
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Says what became of a claimed order. Where another machine has claimed it meanwhile, that one decides.
    pub async fn settle(&self, origin: &str, id: &OrderId, settled: &Settled) -> Result<()> {
        self.try_settle(origin, id, settled).await.map_err(|error| self.failed(error))
    }

    async fn try_settle(&self, origin: &str, id: &OrderId, settled: &Settled) -> sqlx::Result<()> {
        let (after, error) = match settled {
            Settled::Done => {
                let done = sql("DELETE FROM work WHERE origin = $1 AND id = $2 AND claimed_by = $3");
                done.bind(origin).bind(id.as_str()).bind(self.run()).execute(self.on()).await?;
                return Ok(());
            }
            Settled::Failed { after, error } => (after, Some(error.as_str())),
            Settled::Later(after) => (after, None),
        };
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        sql("UPDATE work SET claimed_by = NULL, claimed_until = 0, due = $4, last_error = COALESCE($5, last_error),
             failures = CASE WHEN $5 IS NULL THEN failures ELSE failures + 1 END WHERE origin = $1 AND id = $2 AND claimed_by = $3")
            .bind(origin)
            .bind(id.as_str())
            .bind(self.run())
            .bind(self.now().await?.saturating_add(after))
            .bind(error)
            .execute(self.on())
            .await?;
        Ok(())
    }

    /// All orders that are to be carried through, the longest waiting first.
    pub async fn work(&self, origin: &str) -> Result<Vec<Work>> {
        let listed = async {
            let now = self.now().await?;
            let rows = sql(select_work!("TRUE ORDER BY since, id")).bind(origin).fetch_all(self.on()).await?;
            rows.iter().map(|row| work(row, now)).collect::<sqlx::Result<Vec<_>>>()
        };
        listed.await.map_err(|error| self.failed(error))
    }

    /// How long from now until the next order is due that nobody has; `None` where there is none.
    pub async fn next_due(&self, origin: &str) -> Result<Option<Duration>> {
        let found = async {
            let now = self.now().await?;
            let row = sql("SELECT CASE WHEN due > claimed_until THEN due ELSE claimed_until END AS at FROM work WHERE origin = $1 ORDER BY at LIMIT 1")
                .bind(origin)
                .fetch_optional(self.on())
                .await?;
            let at = row.map(|row| row.number("at")).transpose()?;
            Ok(at.map(|at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0))))
        };
        found.await.map_err(|error| self.failed(error))
    }
}

fn work(row: &Row, now: i64) -> sqlx::Result<Work> {
    let time = |column: &str| jiff::Timestamp::from_millisecond(row.number(column)?).map_err(undecodable);
    Ok(Work {
        id: OrderId::parse(&row.text("id")?).map_err(undecodable)?,
        failures: u32::try_from(row.number("failures")?).unwrap_or(u32::MAX),
        last_error: row.optional_text("last_error")?,
        since: time("since")?,
        due: time("due")?,
        claimed_by: if row.number("claimed_until")? > now { row.optional_text("claimed_by")? } else { None },
    })
}
