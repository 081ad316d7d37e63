//! Withdrawing an application, revoking a certificate, deleting an order.

use std::time::Duration;

use super::{Cas, call::Call, instance, order_2020};
use crate::{
    error::{Error, Result},
    language::t,
    order::{Generation, OrderId},
};

/// The pauses between two looks at an instance whose application is being withdrawn; the last one is repeated.
const PAUSES: [u64; 5] = [300, 700, 2000, 5000, 10_000];

impl Cas {
    /// Withdraws the application of an order. An instance takes minutes for that; this waits at most `patience`.
    ///
    /// Returns whether it is withdrawn; false: the service is still at it.
    ///
    /// # Errors
    /// Of the service; `ErrorKind::Usage` for an order of 2018, which has no such operation.
    pub async fn cancel(&self, id: &OrderId, patience: Duration) -> Result<bool> {
        match self.generation_of(id).await? {
            Generation::Instance => {
                self.end("CancelPendingCertificate", "InstanceId", id).await?;
                let until = tokio::time::Instant::now() + patience;
                let mut pauses = PAUSES.into_iter();
                let mut pause = Duration::ZERO;
                loop {
                    pause = pauses.next().map_or(pause, Duration::from_millis);
                    if tokio::time::Instant::now() + pause > until {
                        return Ok(false);
                    }
                    tokio::time::sleep(pause).await;
                    if !instance::detail(&self.client, id).await?.is_pending() {
                        return Ok(true);
                    }
                }
            }
            Generation::Order => self.end("CancelOrderRequest", "OrderId", id).await.map(|()| true),
            generation => Err(not_there(generation, t!("withdraws an application"))),
        }
    }

    /// Revokes the certificate of an order.
    ///
    /// # Errors
    /// Of the service; `ErrorKind::Usage` for an order of 2018, which has no such operation.
    pub async fn revoke(&self, id: &OrderId) -> Result<()> {
        match self.generation_of(id).await? {
            Generation::Instance => self.end("RevokeCertificate", "InstanceId", id).await,
            Generation::Order => self.end("CancelCertificateForPackageRequest", "OrderId", id).await,
            generation => Err(not_there(generation, t!("revokes a certificate"))),
        }
    }

    /// Deletes an order that is over; with `refund` an instance is given back first, which the service does within seven days of its purchase.
    ///
    /// # Errors
    /// Of the service; `ErrorKind::Usage` for an order of 2018, which has no such operation.
    pub async fn delete(&self, id: &OrderId, refund: bool) -> Result<()> {
        match self.generation_of(id).await? {
            Generation::Instance => {
                if refund {
                    self.end("RefundInstance", "InstanceId", id).await?;
                }
                self.end("DeleteInstance", "InstanceId", id).await
            }
            Generation::Order if refund => {
                Err(Error::usage(t!("an order of a package cannot be given back; deleting it gives its quota back"))
                    .with_hint(t!("leave out `--refund`")))
            }
            Generation::Order => self.end("DeleteCertificateRequest", "OrderId", id).await,
            generation => Err(not_there(generation, t!("deletes an order"))),
        }
    }

    /// Twice is as good as once for each of these: an order that has ended already is refused, which is then told by its state.
    async fn end(&self, action: &'static str, parameter: &str, id: &OrderId) -> Result<()> {
        let call = Call::new(action, order_2020::VERSION).about(id).with(parameter, id);
        self.client.call(&call).await.map(|_| ())
    }

    /// The generation of an order: what is known, what its id says, or what answers.
    async fn generation_of(&self, id: &OrderId) -> Result<Generation> {
        if id.is_number() {
            return Ok(Generation::Order);
        }
        let known = self.memory().generations.get(id).copied();
        match known {
            Some(generation) => Ok(generation),
            None => Ok(self.read_state(id).await?.generation),
        }
    }
}

fn not_there(generation: Generation, what: &str) -> Error {
    Error::usage(t!("the API of %{generation} has no operation that %{what}", generation, what))
        .with_hint(t!("use the certificate console for this order"))
}
