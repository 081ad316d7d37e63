//! Applications that were begun.

use super::{
    Store,
    database::{Row, sql},
    fault::undecodable,
};
use crate::{error::Result, order::OrderId};

/// An application: kept before it is sent, completed with its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationMemory {
    /// Where it was sent.
    pub origin: String,
    /// What it is for: the names, sorted.
    pub subject: String,
    /// How it was sent, in the words of the order source.
    pub way: serde_json::Value,
    /// The order that it made; `None`: not known yet.
    pub order: Option<OrderId>,
    /// When it was begun.
    pub begun: jiff::Timestamp,
}

impl Store {
    /// Keeps an application, in the place of an earlier one for the same subject.
    ///
    /// # Errors
    /// `ErrorKind::Store`.
    pub async fn keep_application(&self, application: &ApplicationMemory) -> Result<()> {
        let query = sql("INSERT INTO applications (origin, subject, way, order_id, begun) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (origin, subject) DO UPDATE SET
             way = excluded.way, order_id = excluded.order_id, begun = excluded.begun")
        .bind(&application.origin)
        .bind(&application.subject)
        .bind(application.way.to_string())
        .bind(application.order.as_ref().map(OrderId::as_str))
        .bind(application.begun.as_millisecond());
        query.execute(self.on()).await.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// The application for a subject, where one was begun.
    ///
    /// # Errors
    /// `ErrorKind::Store`.
    pub async fn application(&self, origin: &str, subject: &str) -> Result<Option<ApplicationMemory>> {
        let query = sql("SELECT origin, subject, way, order_id, begun FROM applications WHERE origin = $1 AND subject = $2")
            .bind(origin)
            .bind(subject);
        let row = query.fetch_optional(self.on()).await.map_err(|error| self.failed(error))?;
        row.as_ref().map(memory).transpose().map_err(|error| self.failed(error))
    }

    /// The latest application that made this order, where one did.
    ///
    /// # Errors
    /// `ErrorKind::Store`.
    pub async fn application_of(&self, origin: &str, order: &OrderId) -> Result<Option<ApplicationMemory>> {
        let query = sql("SELECT origin, subject, way, order_id, begun FROM applications WHERE origin = $1 AND order_id = $2
             ORDER BY begun DESC LIMIT 1")
        .bind(origin)
        .bind(order.as_str());
        let row = query.fetch_optional(self.on()).await.map_err(|error| self.failed(error))?;
        row.as_ref().map(memory).transpose().map_err(|error| self.failed(error))
    }

    /// Forgets an application that came to nothing.
    ///
    /// # Errors
    /// `ErrorKind::Store`.
    pub async fn forget_application(&self, origin: &str, subject: &str) -> Result<()> {
        let query = sql("DELETE FROM applications WHERE origin = $1 AND subject = $2").bind(origin).bind(subject);
        query.execute(self.on()).await.map(|_| ()).map_err(|error| self.failed(error))
    }
}

fn memory(row: &Row) -> sqlx::Result<ApplicationMemory> {
    let order = row.optional_text("order_id")?.map(|id| OrderId::parse(&id)).transpose().map_err(undecodable)?;
    Ok(ApplicationMemory {
        origin: row.text("origin")?,
        subject: row.text("subject")?,
        way: serde_json::from_str(&row.text("way")?).map_err(undecodable)?,
        order,
        begun: jiff::Timestamp::from_millisecond(row.number("begun")?).map_err(undecodable)?,
    })
}
