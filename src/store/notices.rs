//! What somebody was told, so that runs and machines that share the store tell it once.

use std::time::Duration;

use super::{Store, database::sql};
use crate::{error::Result, order::OrderId};

/// The row of the failure of a run as a whole. No order has this id.
const OF_RUN: &str = "";

/// The row of the notice that there are more failures. No order has this id.
const OF_MORE: &str = "*";

/// How long it is remembered that something was told, in milliseconds: longer than anything asks for.
const KEPT: i64 = 30 * 24 * 60 * 60 * 1000;

/// What was told before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The kind of the failure that was told last of the same order (or of a run as a whole), and how long ago; `None`: none that counts.
    pub last: Option<(String, Duration)>,
    /// Notices within the window.
    pub recent: usize,
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It is told.
    Tell,
    /// It is told that there are more.
    TellOfMore,
    /// It was told already, or there were too many.
    Keep,
}

impl Store {
    /// Decides about a failure of this kind, of an order or of a run as a whole, by what was told within `window`, and remembers what is told:
    /// whoever asks next, here or on another machine, sees it.
    ///
    /// # Errors
    /// `ErrorKind::Store`.
    pub async fn decide_telling(
        &self,
        origin: &str,
        order: Option<&OrderId>,
        kind: &str,
        window: Duration,
        decide: impl FnOnce(&Told) -> Telling,
    ) -> Result<Telling> {
        self.try_decide(origin, order, kind, window, decide).await.map_err(|error| self.failed(error))
    }

    async fn try_decide(
        &self,
        origin: &str,
        order: Option<&OrderId>,
        kind: &str,
        window: Duration,
        decide: impl FnOnce(&Told) -> Telling,
    ) -> sqlx::Result<Telling> {
        let about = order.map_or(OF_RUN, OrderId::as_str);
        let now = self.now().await?;
        let since = now.saturating_sub(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
        let mut transaction = self.begin().await?;
        sql("DELETE FROM notices WHERE told < $1").bind(now - KEPT).execute(transaction.on()).await?;
        let last = sql("SELECT kind, told FROM notices WHERE origin = $1 AND about = $2").bind(origin).bind(about);
        let last = match last.fetch_optional(transaction.on()).await? {
            Some(row) => {
                let ago = now.saturating_sub(row.number("told")?);
                Some((row.text("kind")?, Duration::from_millis(u64::try_from(ago).unwrap_or(0))))
            }
            None => None,
        };
        let recent = sql("SELECT count(*) AS count FROM notices WHERE origin = $1 AND told > $2")
            .bind(origin)
            .bind(since)
            .fetch_one(transaction.on())
            .await?;
        let recent = usize::try_from(recent.number("count")?).unwrap_or(usize::MAX);
        let telling = decide(&Told { last, recent });
        let about = match telling {
            Telling::Keep => return Ok(telling),
            Telling::Tell => about,
            Telling::TellOfMore => OF_MORE,
        };
        sql("INSERT INTO notices (origin, about, kind, told) VALUES ($1, $2, $3, $4)
             ON CONFLICT (origin, about) DO UPDATE SET kind = excluded.kind, told = excluded.told")
        .bind(origin)
        .bind(about)
        .bind(kind)
        .bind(now)
        .execute(transaction.on())
        .await?;
        transaction.commit().await?;
        Ok(telling)
    }

    /// Forgets what was told of an order, or of runs as a whole: it went well since, or nobody heard it. The next failure is news.
    ///
    /// # Errors
    /// `ErrorKind::Store`.
    pub async fn forget_telling(&self, origin: &str, order: Option<&OrderId>) -> Result<()> {
        let about = order.map_or(OF_RUN, OrderId::as_str);
        let forgotten = sql("DELETE FROM notices WHERE origin = $1 AND about = $2").bind(origin).bind(about).execute(self.on());
        forgotten.await.map(drop).map_err(|error| self.failed(error))
    }
}
