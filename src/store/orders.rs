//! What is known of orders from earlier.

use std::path::PathBuf;

use super::{
    OrderMemory, Store,
    database::{Row, sql},
    fault::undecodable,
};
use crate::{error::Result, order::OrderId};

macro_rules! select_orders {
    ($condition:literal) => {
        concat!(
            "SELECT origin, id, generation, domains, baseline_certificate, was_pending, finished, delivered, hook_pending \
             FROM orders WHERE ",
            $condition,
            " ORDER BY id"
        )
    };
}

impl Store {
    /// Keeps what is known of an order, replacing what was known before.
    ///
    /// # Errors
    /// `ErrorKind::Store`, also where the delivered folder's path is not UTF-8.
    pub async fn remember(&self, memory: &OrderMemory) -> Result<()> {
        self.try_remember(memory).await.map_err(|error| self.failed(error))
    }

    async fn try_remember(&self, memory: &OrderMemory) -> sqlx::Result<()> {
        let delivered = memory.delivered.as_deref().map(|path| {
            path.to_str().ok_or_else(|| sqlx::Error::Encode(format!("the path `{}` is not UTF-8", path.display()).into()))
        });
        sql("INSERT INTO orders
             (origin, id, generation, domains, baseline_certificate, was_pending, finished, delivered, hook_pending)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (origin, id) DO UPDATE SET
             generation = excluded.generation, domains = excluded.domains, baseline_certificate = excluded.baseline_certificate,
             was_pending = excluded.was_pending, finished = excluded.finished, delivered = excluded.delivered,
             hook_pending = excluded.hook_pending")
        .bind(&memory.origin)
        .bind(memory.id.as_str())
        .bind(serde_json::to_string(&memory.generation).map_err(undecodable)?)
        .bind(serde_json::to_string(&memory.domains).map_err(undecodable)?)
        .bind(memory.baseline_certificate.as_deref())
        .bind(memory.was_pending)
        .bind(memory.finished)
        .bind(delivered.transpose()?)
        .bind(memory.hook_pending)
        .execute(self.on())
        .await?;
        Ok(())
    }

    /// What is known of an order.
    pub async fn recall(&self, origin: &str, id: &OrderId) -> Result<Option<OrderMemory>> {
        let query = sql(select_orders!("origin = $1 AND id = $2")).bind(origin).bind(id.as_str());
        let row = query.fetch_optional(self.on()).await.map_err(|error| self.failed(error))?;
        row.as_ref().map(memory).transpose().map_err(|error| self.failed(error))
    }

    /// The orders of an origin that are not finished, or whose hook has yet to run.
    pub async fn unfinished(&self, origin: &str) -> Result<Vec<OrderMemory>> {
        let query = sql(select_orders!("origin = $1 AND (NOT finished OR hook_pending)")).bind(origin);
        let rows = query.fetch_all(self.on()).await.map_err(|error| self.failed(error))?;
        rows.iter().map(memory).collect::<sqlx::Result<_>>().map_err(|error| self.failed(error))
    }
}

fn memory(row: &Row) -> sqlx::Result<OrderMemory> {
    let text = |column: &str| row.text(column);
    Ok(OrderMemory {
        origin: text("origin")?,
        id: OrderId::parse(&text("id")?).map_err(undecodable)?,
        generation: serde_json::from_str(&text("generation")?).map_err(undecodable)?,
        domains: serde_json::from_str(&text("domains")?).map_err(undecodable)?,
        baseline_certificate: row.optional_text("baseline_certificate")?,
        was_pending: row.flag("was_pending")?,
        finished: row.flag("finished")?,
        delivered: row.optional_text("delivered")?.map(PathBuf::from),
        hook_pending: row.flag("hook_pending")?,
    })
}
