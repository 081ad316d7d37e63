//! What was submitted a moment ago: until the instance itself shows it, the task of the submission tells how far it is.

use std::time::{Duration, Instant};

use super::super::{Cas, call::Call, order_2020, words};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    order::{Order, OrderId, OrderState},
};

/// How long an instance may take to show what was submitted, where its task does not tell.
const SHOWN: Duration = Duration::from_mins(1);

/// A submission that the instance has not shown yet.
#[derive(Clone, Debug)]
pub(in super::super) struct Submitted {
    /// When it was submitted.
    pub(super) at: Instant,
    /// The certificate that the instance showed before.
    pub(super) before: Option<String>,
}

impl Submitted {
    /// Whether the instance shows it: anything but the state from before.
    fn is_shown(&self, order: &Order) -> bool {
        !matches!(order.state, OrderState::NotSubmitted | OrderState::Issued(_)) || order.certificate_id != self.before
    }
}

impl Cas {
    /// The order as it was read, or `Preparing` where this process submitted it and it does not show that yet.
    ///
    /// # Errors
    /// `ErrorKind::Refused` where its task failed, with what the service says about that.
    pub(in super::super) async fn after_submission(&self, order: Order) -> Result<Order> {
        let Some(submitted) = self.memory().submitted.get(&order.id).cloned() else { return Ok(order) };
        let told = if submitted.is_shown(&order) { Ok(None) } else { self.look_at_task(&order.id, submitted.at).await };
        if let Ok(Some(state)) = told {
            return Ok(Order { state, ..order });
        }
        self.memory().submitted.remove(&order.id);
        told.map(|_| order)
    }

    /// What the task of a submission tells; `None` where it is over, or tells nothing for too long.
    async fn look_at_task(&self, id: &OrderId, at: Instant) -> Result<Option<OrderState>> {
        let call =
            Call::new("GetTaskAttribute", order_2020::VERSION).about(id).with("TaskId", id).with("TaskType", "ApplyCertificate");
        let reply =
            self.client.call(&call).await.inspect_err(|error| tracing::debug!("the task of `{id}` cannot be read: {error}"));
        let text = |field: &str| reply.as_ref().ok().and_then(|reply| reply.text(field));
        match words::normalized(&text("TaskStatus").unwrap_or_default()).as_str() {
            "failed" | "fail" => {
                let why = text("TaskMessage").unwrap_or_else(|| t!("the service does not say why").to_owned());
                Err(Error::new(ErrorKind::Refused, t!("the application with `%{id}` failed: %{why}", id, why))
                    .with_hint(t!("mend that, then run the same command again: it applies anew")))
            }
            "processing" | "pending" => Ok(Some(OrderState::Preparing)),
            _ if at.elapsed() < SHOWN => Ok(Some(OrderState::Preparing)),
            _ => Ok(None),
        }
    }
}
