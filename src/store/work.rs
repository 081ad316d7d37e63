//! Orders that `watch` is to carry through, and which machine has which.

use std::time::Duration;

use super::{
    Lock, LockKey, Store,
    database::{Row, sql},
    fault::undecodable,
    leases,
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

/// A moment by the clock of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(i64);

/// The longest rest that is believed, in milliseconds: no service asks for more than a week. A later time was made by a clock that was wrong,
/// and the order would rest until that time comes.
const LONGEST_REST: i64 = 8 * 24 * 60 * 60 * 1000;

/// After how long, in milliseconds, an order that is due and that nobody took is anybody's, whatever his share is.
const OVERDUE: i64 = 10 * 1000;

/// How long it is remembered that an order is done, in milliseconds: longer than any list takes.
const DONE_KEPT: i64 = 24 * 60 * 60 * 1000;

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
        /// Whether it counts as a failure of the order; not where a provider, or the account, asks all orders to wait.
        counts: bool,
    },
    /// Nobody's failure: it is due again after this time.
    Later(Duration),
}

/// How much there is to carry through, and by how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Orders that some machine has now.
    pub claimed: u64,
    /// Orders that are due, and that nobody has.
    pub due: u64,
    /// Those of them that nobody took for a while, because the others are full, or cannot work.
    pub overdue: u64,
    /// Orders that are left alone for now, mostly because they failed.
    pub resting: u64,
    /// How long from now until the next of those is due; `None` where there is none.
    pub next: Option<Duration>,
    /// Machines that watch.
    pub watchers: u64,
}

macro_rules! select_work {
    ($rest:literal) => {
        concat!("SELECT id, failures, last_error, since, due, claimed_by, claimed_until FROM work WHERE origin = $1 AND done IS NULL AND ", $rest)
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

    /// This moment, by the clock of the store.
    pub async fn moment(&self) -> Result<Moment> {
        self.now().await.map(Moment).map_err(|error| self.failed(error))
    }

    /// Puts orders in that are not there yet; due at once. They are from a list that was begun at `listed`: an order that was done since stays
    /// done.
    pub async fn enqueue(&self, origin: &str, ids: &[OrderId], listed: Moment) -> Result<()> {
        self.try_enqueue(origin, ids, listed).await.map_err(|error| self.failed(error))
    }

    async fn try_enqueue(&self, origin: &str, ids: &[OrderId], listed: Moment) -> sqlx::Result<()> {
        let now = self.now().await?;
        let mut transaction = self.begin().await?;
        sql("DELETE FROM work WHERE origin = $1 AND done < $2")
            .bind(origin)
            .bind(now - DONE_KEPT)
            .execute(transaction.on())
            .await?;
        for id in ids {
            sql("INSERT INTO work (origin, id, since, due, failures, claimed_until) VALUES ($1, $2, $3, $3, 0, 0)
                 ON CONFLICT (origin, id) DO UPDATE SET since = excluded.since, due = excluded.due, failures = 0, last_error = NULL, done = NULL
                 WHERE work.done < $4 OR work.done > $3")
                .bind(origin)
                .bind(id.as_str())
                .bind(now)
                .bind(listed.0)
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
            select_work!("(due <= $2 OR due > $4) AND claimed_until <= $2 ORDER BY due, id LIMIT $3 FOR UPDATE SKIP LOCKED")
        } else {
            select_work!("(due <= $2 OR due > $4) AND claimed_until <= $2 ORDER BY due, id LIMIT $3")
        };
        let mut transaction = self.begin_beside().await?;
        let rows = sql(select).bind(origin).bind(now).bind(limit).bind(now + LONGEST_REST).fetch_all(transaction.on()).await?;
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

    /// Whether an order is this run's to carry through. Asked under the order's lock: whoever held that before may have done it.
    pub async fn is_claimed(&self, origin: &str, id: &OrderId) -> Result<bool> {
        let claimed = sql(select_work!("id = $2 AND claimed_by = $3")).bind(origin).bind(id.as_str()).bind(self.run());
        let found = claimed.fetch_optional(self.on()).await.map_err(|error| self.failed(error))?;
        Ok(found.is_some())
    }

    /// Says what became of a claimed order. What is done is done for all; for the rest, where another machine has claimed it meanwhile, that
    /// one decides.
    pub async fn settle(&self, origin: &str, id: &OrderId, settled: &Settled) -> Result<()> {
        self.try_settle(origin, id, settled).await.map_err(|error| self.failed(error))
    }

    async fn try_settle(&self, origin: &str, id: &OrderId, settled: &Settled) -> sqlx::Result<()> {
        let (after, error) = match settled {
            Settled::Done => {
                sql("UPDATE work SET done = $3, claimed_by = NULL, claimed_until = 0 WHERE origin = $1 AND id = $2")
                    .bind(origin)
                    .bind(id.as_str())
                    .bind(self.now().await?)
                    .execute(self.on())
                    .await?;
                return Ok(());
            }
            Settled::Failed { after, error, counts } => (after, Some((error.as_str(), i64::from(*counts)))),
            Settled::Later(after) => (after, None),
        };
        let (error, counts) = error.unzip();
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        sql("UPDATE work SET claimed_by = NULL, claimed_until = 0, due = $4, last_error = COALESCE($5, last_error),
             failures = failures + $6 WHERE origin = $1 AND id = $2 AND claimed_by = $3")
        .bind(origin)
        .bind(id.as_str())
        .bind(self.run())
        .bind(self.now().await?.saturating_add(after))
        .bind(error)
        .bind(counts.unwrap_or(0))
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

    /// Orders that this run has claimed and not settled.
    pub async fn own_claims(&self, origin: &str) -> Result<Vec<Work>> {
        let listed = async {
            let now = self.now().await?;
            let own = sql(select_work!("claimed_by = $2 AND claimed_until > $3")).bind(origin).bind(self.run()).bind(now);
            own.fetch_all(self.on()).await?.iter().map(|row| work(row, now)).collect::<sqlx::Result<Vec<_>>>()
        };
        listed.await.map_err(|error| self.failed(error))
    }

    /// Makes due at once what waits after a failure: somebody has done something about it.
    pub async fn hurry(&self, origin: &str) -> Result<()> {
        let hurried = async {
            sql("UPDATE work SET due = $2 WHERE origin = $1 AND done IS NULL AND due > $2 AND claimed_until <= $2 AND last_error IS NOT NULL")
                .bind(origin)
                .bind(self.now().await?)
                .execute(self.on())
                .await
        };
        hurried.await.map(drop).map_err(|error| self.failed(error))
    }

    /// How much there is to do.
    pub async fn backlog(&self, origin: &str) -> Result<Backlog> {
        self.try_backlog(origin).await.map_err(|error| self.failed(error))
    }

    async fn try_backlog(&self, origin: &str) -> sqlx::Result<Backlog> {
        let now = self.now().await?;
        let row = sql("SELECT COALESCE(SUM(CASE WHEN claimed_until > $2 THEN 1 ELSE 0 END), 0) AS claimed,
             COALESCE(SUM(CASE WHEN claimed_until <= $2 AND (due <= $2 OR due > $3) THEN 1 ELSE 0 END), 0) AS due,
             COALESCE(SUM(CASE WHEN claimed_until <= $4 AND (due <= $4 OR due > $3) THEN 1 ELSE 0 END), 0) AS overdue,
             COALESCE(SUM(CASE WHEN claimed_until <= $2 AND due > $2 AND due <= $3 THEN 1 ELSE 0 END), 0) AS resting,
             COALESCE(MIN(CASE WHEN claimed_until <= $2 AND due > $2 AND due <= $3 THEN due END), 0) AS next FROM work WHERE origin = $1 AND done IS NULL")
        .bind(origin)
        .bind(now)
        .bind(now + LONGEST_REST)
        .bind(now - OVERDUE)
        .fetch_one(self.on())
        .await?;
        let count = |column: &str| row.number(column).map(|number| u64::try_from(number).unwrap_or(0));
        let next = row.number("next")?;
        let watchers = if self.is_shared() {
            let living =
                sql(concat!("SELECT count(*) AS count FROM leases WHERE strpos(name, $1) = 1 AND expires > ", leases::now!()));
            living.bind(LockKey::watchers(origin).as_str()).fetch_one(self.on()).await?.number("count")?
        } else {
            1
        };
        Ok(Backlog {
            claimed: count("claimed")?,
            due: count("due")?,
            overdue: count("overdue")?,
            resting: count("resting")?,
            next: (next > 0).then(|| Duration::from_millis(u64::try_from(next - now).unwrap_or(0))),
            watchers: u64::try_from(watchers).unwrap_or(1).max(1),
        })
    }

    /// Says that this machine watches, for as long as the lock lives, so that others leave it its share.
    pub async fn attend(&self, origin: &str) -> Result<Option<Lock>> {
        if !self.is_shared() {
            return Ok(None);
        }
        self.try_lock(&LockKey::Watcher { origin: origin.to_owned(), run: self.run().to_owned() }).await
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
