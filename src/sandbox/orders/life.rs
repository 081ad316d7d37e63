//! What the owner of an order does to it: applies, withdraws, revokes, gives back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Order, OrderBook, Stage, Viewer, challenge,
    kinds::{OrderTraits, Validation},
};
use crate::{
    name::Name,
    order::Generation,
    sandbox::{NewOrder, ca::CertificateAuthority},
};

/// What an application says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Application {
    /// The names of the certificate.
    pub(in crate::sandbox) domains: Vec<Name>,
    /// How the CA is to validate.
    pub(in crate::sandbox) validation: Validation,
    /// The certificate request, PEM; `None`: the CA makes the key.
    pub(in crate::sandbox) csr: Option<String>,
    /// `RSA_2048`, `ECC_256` ….
    pub(in crate::sandbox) key_algorithm: String,
}

/// What became of the last submission, beside what the stage says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct FailedTask {
    /// When that shows.
    pub(in crate::sandbox) at: Instant,
    /// Why, as `TaskMessage` says it.
    pub(in crate::sandbox) message: String,
}

impl Order {
    /// Whether an application is with the CA.
    pub(in crate::sandbox) fn is_pending(&self, now: Instant) -> bool {
        matches!(self.stage(now), Stage::Preparing | Stage::Checking | Stage::Reviewing)
    }

    /// The failure of the last submission, once it shows.
    pub(in crate::sandbox) fn failed_task(&self, now: Instant) -> Option<&FailedTask> {
        self.failed_task.as_ref().filter(|task| task.at <= now)
    }
}

impl OrderBook {
    /// Keeps what an instance is to apply for.
    pub(in crate::sandbox) fn draft(&mut self, id: &str, application: Application) {
        if let Some(index) = self.by_id.get(id) {
            self.orders[*index].draft = Some(application);
        }
    }

    /// Submits an application, or fails it where the order's traits say so. Returns the names to look at once the challenge is there.
    pub(in crate::sandbox) fn submit(
        &mut self,
        id: &str,
        application: Application,
        challenge_at: Instant,
        root_of: impl Fn(&Name) -> Name,
    ) -> Vec<Name> {
        let Some(index) = self.by_id.get(id).copied() else { return Vec::new() };
        self.stop_waiting(index);
        let order = &mut self.orders[index];
        order.failed_task = order.traits.task_failure.clone().map(|message| FailedTask { at: challenge_at, message });
        order.domains.clone_from(&application.domains);
        order.traits.own_key = application.csr.is_some() && !order.traits.ignores_csr;
        order.traits.validation = application.validation;
        // The certificate before this one goes on being shown.
        order.traits.renewal |= order.certificate.is_some();
        order.traits.submitted = order.failed_task.is_none();
        order.challenge_at = challenge_at;
        (order.issue_at, order.issued, order.ended, order.cancel_at, order.is_revoked) = (None, false, None, None, false);
        let shown = if order.generation == Generation::Instance { order.domains.len() } else { 1 };
        order.challenges =
            order.domains.iter().take(shown).map(|domain| challenge(domain, &order.traits, root_of(&domain.base()))).collect();
        order.draft = Some(application);
        let names = order.challenges.iter().map(|challenge| challenge.name.clone()).collect();
        self.fill_values(index);
        self.wait(index);
        names
    }

    /// A new order that is submitted at once; returns its id, and the names to look at.
    pub(in crate::sandbox) fn create(
        &mut self,
        generation: Generation,
        application: Application,
        product: Option<String>,
        challenge_at: Instant,
        root_of: impl Fn(&Name) -> Name,
        ca: &CertificateAuthority,
    ) -> (String, Vec<Name>) {
        let order = NewOrder { generation, domains: application.domains.clone() };
        let account = match &self.seen_by {
            Viewer::Sandbox => None,
            Viewer::Account(account) => account.clone(),
        };
        let traits = OrderTraits { submitted: false, account, ..OrderTraits::default() };
        let (id, _) = self.add(order, traits, challenge_at, &root_of, ca);
        if let Some(index) = self.by_id.get(&id) {
            self.orders[*index].product = product;
        }
        let names = self.submit(&id, application, challenge_at, root_of);
        (id, names)
    }

    /// Withdraws the application of an order. Until `at` it still looks pending.
    pub(in crate::sandbox) fn cancel(&mut self, id: &str, at: Instant) {
        let Some(index) = self.by_id.get(id).copied() else { return };
        self.orders[index].cancel_at = Some(at);
        self.stop_waiting(index);
        self.cancelling.push(index);
    }

    /// Ends withdrawals that are due.
    pub(super) fn finish_cancelling(&mut self, now: Instant) {
        let orders = &mut self.orders;
        self.cancelling.retain(|index| {
            let order = &mut orders[*index];
            let is_due = order.cancel_at.is_some_and(|at| at <= now);
            if is_due {
                order.cancel_at = None;
                order.issue_at = None;
                order.traits.submitted = false;
            }
            order.cancel_at.is_some()
        });
    }

    /// Revokes the certificate of an order; false where it has none.
    pub(in crate::sandbox) fn revoke(&mut self, id: &str) -> bool {
        let Some(index) = self.by_id.get(id).copied() else { return false };
        let order = &mut self.orders[index];
        order.is_revoked = order.certificate.is_some();
        order.is_revoked
    }

    /// Takes an order back for good: it reads `refund`.
    pub(in crate::sandbox) fn refund(&mut self, id: &str) {
        if let Some(index) = self.by_id.get(id).copied() {
            self.stop_waiting(index);
            self.orders[index].ended = Some(Stage::Refunded);
        }
    }

    /// Removes an order; nothing finds it any more.
    pub(in crate::sandbox) fn delete(&mut self, id: &str) {
        let Some(index) = self.by_id.remove(id) else { return };
        self.stop_waiting(index);
        if let Some(of_generation) = self.by_generation.get_mut(&self.orders[index].generation) {
            of_generation.retain(|known| *known != index);
        }
        self.orders[index].is_deleted = true;
    }

    pub(super) fn certify(&mut self, index: usize, ca: &CertificateAuthority) {
        let order = &self.orders[index];
        let own = order.draft.as_ref().filter(|_| !order.traits.ignores_csr);
        let csr = own.and_then(|application| application.csr.as_deref());
        let Some(certificate) = ca.issue(&order.domains, csr) else { return };
        let id = super::FIRST_NUMBER + self.certificates.len() as u64;
        self.certificates.insert(id, (index, Arc::clone(&certificate)));
        self.orders[index].certificate = Some((id, certificate));
    }
}

/// How long a withdrawal of an instance takes: the service is asynchronous.
pub(in crate::sandbox) const CANCEL_DELAY: Duration = Duration::from_millis(500);
