//! Withdrawing, revoking, giving back, deleting.

use super::{
    applying::{Desk, state_error},
    call::Call,
    failure::Failure,
    instances::instance,
    reply::Fields,
};
use crate::{
    order::Generation,
    sandbox::orders::{Order, Stage, life::CANCEL_DELAY},
};

impl Desk<'_> {
    /// `CancelPendingCertificate`: the instance stays pending for a while.
    pub(super) fn cancel_pending_certificate(&mut self, call: &Call) -> Result<Fields, Failure> {
        let id = call.require("InstanceId")?;
        if !instance(self.orders, id)?.is_pending(self.now) {
            return Err(not_supported());
        }
        self.orders.cancel(id, self.now + CANCEL_DELAY);
        Ok(Fields::new())
    }

    /// `RevokeCertificate`.
    pub(super) fn revoke_certificate(&mut self, call: &Call) -> Result<Fields, Failure> {
        let id = call.require("InstanceId")?;
        let order = instance(self.orders, id)?;
        let shown = order.certificate.as_ref().map(|(id, _)| *id);
        if let Some(named) = call.number("CertificateId")?
            && shown != Some(named)
        {
            return Err(Failure::not_found(format!("certificate {named}")));
        }
        if order.is_pending(self.now) || order.is_revoked || !self.orders.revoke(id) {
            return Err(not_supported());
        }
        Ok(Fields::new())
    }

    /// `RefundInstance`: only what was never issued.
    pub(super) fn refund_instance(&mut self, call: &Call) -> Result<Fields, Failure> {
        let id = call.require("InstanceId")?;
        let order = instance(self.orders, id)?;
        if order.is_pending(self.now) || order.certificate.is_some() {
            return Err(Failure::new(400, "CouldNotRefund.NotSupport", "The instance does not support refunds."));
        }
        self.orders.refund(id);
        Ok(Fields::new())
    }

    /// `DeleteInstance`: only what is over.
    pub(super) fn delete_instance(&mut self, call: &Call) -> Result<Fields, Failure> {
        let id = call.require("InstanceId")?;
        let order = instance(self.orders, id)?;
        if !matches!(order.stage(self.now), Stage::Closed | Stage::Refunded) {
            return Err(Failure::new(400, "InvalidStatus.DeleteProtection", "The instance is in use."));
        }
        self.orders.delete(id);
        Ok(Fields::new())
    }

    /// `CancelOrderRequest`: the order is payed for and not submitted again.
    pub(super) fn cancel_order_request(&mut self, call: &Call) -> Result<Fields, Failure> {
        let order = self.order(call)?;
        if !order.is_pending(self.now) {
            return Err(state_error());
        }
        let id = order.id.clone();
        self.orders.cancel(&id, self.now);
        self.orders.advance(self.now, &self.world.ca);
        Ok(Fields::new())
    }

    /// `DeleteCertificateRequest`: gives the quota back.
    pub(super) fn delete_certificate_request(&mut self, call: &Call) -> Result<Fields, Failure> {
        let order = self.order(call)?;
        if !matches!(order.stage(self.now), Stage::NotSubmitted | Stage::Rejected | Stage::Closed) {
            return Err(Failure::new(403, "DeleteFail", "The order cannot be deleted."));
        }
        let (id, product) = (order.id.clone(), order.product.clone());
        self.orders.delete(&id);
        self.give_back(product);
        Ok(Fields::new())
    }

    /// `CancelCertificateForPackageRequest`: revokes, and gives the quota back.
    pub(super) fn revoke_order(&mut self, call: &Call) -> Result<Fields, Failure> {
        let order = self.order(call)?;
        if order.stage(self.now) != Stage::Issued || order.is_revoked {
            return Err(state_error());
        }
        let (id, product) = (order.id.clone(), order.product.clone());
        self.orders.revoke(&id);
        self.give_back(product);
        Ok(Fields::new())
    }

    fn order(&self, call: &Call) -> Result<&Order, Failure> {
        let order = self.orders.get(call.require("OrderId")?).filter(|order| order.generation == Generation::Order);
        order.ok_or_else(Failure::unknown_order)
    }

    fn give_back(&mut self, product: Option<String>) {
        if let Some(product) = product {
            self.orders.packages.give_back(&product);
        }
    }
}

fn not_supported() -> Failure {
    Failure::new(400, "OperationDenied.StatusNotSupport", "The status of the instance does not support this operation.")
}
