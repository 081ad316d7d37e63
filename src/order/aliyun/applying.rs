//! Applications in all three generations: which instance or package serves, and how it is applied for without ever making two orders.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use self::fitting::{applicant, choose, fits_product, list};
pub(super) use self::submitted::Submitted;
pub use self::what::{Applicant, Application, Choice, NotSubmitted, Way};
use super::{Cas, api_2018, call::Call, failure, instance, listed::Listed, order_2020};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::{Name, same_names},
    order::{Generation, OrderId, OrderSource as _, OrderState},
};

mod fitting;
mod submitted;
mod what;

/// The free product, which has operations of its own.
const FREE: &str = "digicert-free-1-free";

/// How long a list of instances is used by applications that follow one another, for each page of it: a long one would take a good part of the
/// account's calls. Whoever else takes an instance off it is noticed all the same, since each is read before it is applied with.
const FRESH: Duration = Duration::from_mins(1);

/// The instances as they were listed for applications, less those that were taken.
#[derive(Debug)]
pub(super) struct Free {
    listed: Instant,
    pages: u32,
    rows: Vec<Listed>,
}

impl Cas {
    /// Where to apply. Reads only.
    ///
    /// # Errors
    /// `ErrorKind::Usage` where nothing fits: no free instance, the wrong product, an instance that is being applied for with other names.
    pub async fn way(&self, application: &Application, choice: &Choice) -> Result<Way> {
        match choice {
            Choice::Any => self.way_of_any(application).await,
            Choice::Instance(id) => self.way_of_instance(application, id).await,
            Choice::Product(product) => {
                fits_product(product, application)?;
                applicant(application, false)?;
                Ok(Way::Package { product: product.clone(), before: self.orders_for(application).await? })
            }
            Choice::Renewal(id) => Ok(Way::Renewal { id: id.clone(), before: self.orders_for(application).await? }),
        }
    }

    /// Many applications share one list: each takes an instance off it.
    async fn way_of_any(&self, application: &Application) -> Result<Way> {
        let mut free = self.free.lock().await;
        let mut known = match free.take().filter(|known| known.listed.elapsed() < FRESH * known.pages) {
            Some(known) => known,
            None => self.list_free().await?,
        };
        let mut way = choose(&known.rows, application);
        if way.is_err() && known.listed.elapsed() >= FRESH {
            known = self.list_free().await?;
            way = choose(&known.rows, application);
        }
        if let Ok(Way::Instance { id, .. }) = &way {
            known.rows.retain(|row| row.summary.id != *id);
        }
        *free = Some(known);
        way
    }

    async fn list_free(&self) -> Result<Free> {
        let listed = Instant::now();
        let (rows, pages) = instance::list(&self.client, None).await?;
        Ok(Free { listed, pages, rows })
    }

    async fn way_of_instance(&self, application: &Application, id: &OrderId) -> Result<Way> {
        if id.is_number() {
            return Err(Error::usage(t!("`%{id}` is an OrderId, which was applied for when it was made", id))
                .with_hint(t!("name an instance (`cas…`), or a product with `--product` for a new order")));
        }
        let order = self.read_state(id).await?;
        let is_2018 = order.generation == Generation::Api2018;
        match order.state {
            OrderState::Preparing | OrderState::Checking(_) | OrderState::Reviewing => {
                if order.domains.is_empty() || same_names(&order.domains, &application.names) {
                    return Ok(Way::Already { id: id.clone() });
                }
                let names = order.domains.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
                Err(Error::usage(t!("instance `%{id}` is being applied for with other names: %{names}", id, names))
                    .with_hint(t!("`dv-verify cancel %{id}` withdraws that application", id)))
            }
            OrderState::Failed { reason } if !is_2018 && order.certificate_id.is_none() => {
                Err(Error::usage(t!("instance `%{id}` cannot be applied with: %{reason}", id, reason))
                    .with_hint(t!("`dv-verify orders` lists those that are `inactive`")))
            }
            OrderState::NotSubmitted if is_2018 => {
                applicant(application, true)?;
                if application.csr.is_some() {
                    return Err(Error::usage(t!("the API of 2018 takes no certificate request"))
                        .with_hint(t!("leave out `--csr` and `--generate-key`, or apply with an instance of 2020-04-07")));
                }
                Ok(Way::Audit { id: id.clone() })
            }
            _ if is_2018 => Err(Error::usage(t!("instance `%{id}` was applied for already", id))
                .with_hint(t!("`dv-verify --order %{id}` carries it on; each instance of 2018 is for one certificate", id))),
            _ => Ok(Way::Instance { id: id.clone(), before: order.certificate_id }),
        }
    }

    /// Applies. Called again with the same way it does not make a second order of an instance; of a package it does, unless
    /// [`Cas::find_application`] is asked first.
    ///
    /// # Errors
    /// [`NotSubmitted`] says whether an order may have been made all the same.
    pub async fn apply(&self, application: &Application, way: &Way) -> Result<OrderId, NotSubmitted> {
        let id = match way {
            Way::Already { id } => id.clone(),
            Way::Instance { id, before } => {
                self.apply_instance(application, id, before.as_deref()).await?;
                id.clone()
            }
            Way::Package { product, .. } => self.apply_package(application, product).await?,
            Way::Renewal { id, .. } => self.apply_renewal(application, id).await?,
            Way::Audit { id } => {
                self.apply_2018(application, id).await?;
                id.clone()
            }
        };
        let generation = match way {
            Way::Already { .. } => return Ok(id),
            Way::Instance { .. } => Generation::Instance,
            Way::Package { .. } | Way::Renewal { .. } => Generation::Order,
            Way::Audit { .. } => Generation::Api2018,
        };
        self.remember(&id, generation);
        if generation == Generation::Order {
            self.memory().domains.insert(id.clone(), application.names.clone());
        }
        Ok(id)
    }

    /// The order that an application made whose reply was lost; `None` where there is none.
    ///
    /// # Errors
    /// Where that cannot be found out.
    pub async fn find_application(&self, application: &Application, way: &Way) -> Result<Option<OrderId>> {
        match way {
            Way::Already { id } => Ok(Some(id.clone())),
            Way::Instance { id, before } => {
                let order = self.read_state(id).await?;
                let is_there = match &order.state {
                    OrderState::Preparing | OrderState::Checking(_) | OrderState::Reviewing => {
                        same_names(&order.domains, &application.names)
                    }
                    _ => {
                        order.certificate_id.is_some()
                            && order.certificate_id != *before
                            && (order.domains.is_empty() || same_names(&order.domains, &application.names))
                    }
                };
                Ok(is_there.then(|| id.clone()))
            }
            Way::Package { before, .. } | Way::Renewal { before, .. } => {
                let rows = order_2020::list_for(&self.client, &application.names[0]).await?;
                let new = rows
                    .into_iter()
                    .map(|row| row.summary)
                    .filter(|order| !before.contains(&order.id) && same_names(&order.domains, &application.names));
                // The oldest one is that of the first attempt.
                Ok(new.map(|order| order.id).min_by_key(|id| id.as_str().parse::<u64>().unwrap_or(u64::MAX)))
            }
            Way::Audit { id } => {
                let order = self.read_state(id).await?;
                Ok((!matches!(order.state, OrderState::NotSubmitted)).then(|| id.clone()))
            }
        }
    }

    /// `UpdateInstance` and `ApplyCertificate`. Some instances submit themselves at the former.
    async fn apply_instance(&self, application: &Application, id: &OrderId, before: Option<&str>) -> Result<(), NotSubmitted> {
        let detail = instance::detail(&self.client, id).await.map_err(NotSubmitted::Refused)?;
        let has_others = !detail.domains.is_empty() && !same_names(&detail.domains, &application.names);
        if has_others && (detail.is_pending() || detail.certificate.as_deref() != before) {
            return Err(NotSubmitted::Refused(
                Error::usage(t!("instance `%{id}` was taken meanwhile, for %{names}", id, names = list(&detail.domains)))
                    .with_hint(t!("nothing was applied for; run the same command again: it takes another instance")),
            ));
        }
        if !detail.is_pending() {
            let mut call = Call::new("UpdateInstance", order_2020::VERSION)
                .about(id)
                .with("InstanceId", id)
                .with("Domain", list(&application.names))
                .with("ValidationMethod", if application.by_file { "HTTP" } else { "DNS" })
                .with_optional("KeyAlgorithm", application.key_algorithm.as_deref())
                .with("GenerateCsrMethod", if application.csr.is_some() { "upload" } else { "online" })
                .with_optional("Csr", application.csr.as_deref());
            if detail.contacts == 0 {
                let contacts = self.contacts(&application.contacts).await.map_err(NotSubmitted::Refused)?;
                for (number, contact) in (1..).zip(contacts) {
                    call = call.with(&format!("ContactIdList.{number}"), contact);
                }
            }
            // It may be sent twice: it says the same both times.
            self.client.call(&call).await.map_err(NotSubmitted::of)?;
            if !instance::detail(&self.client, id).await.map_err(NotSubmitted::of)?.is_pending() {
                self.submit_instance(id).await?;
            }
        }
        self.memory().submitted.insert(id.clone(), Submitted { at: Instant::now(), before: before.map(str::to_owned) });
        Ok(())
    }

    /// An instance cannot be submitted twice: the second time it is refused, and then it is looked at.
    async fn submit_instance(&self, id: &OrderId) -> Result<(), NotSubmitted> {
        let call = Call::new("ApplyCertificate", order_2020::VERSION).about(id).with("InstanceId", id);
        let Err(error) = self.client.submit(&call).await else { return Ok(()) };
        let is_denied = error.code().is_some_and(|code| code.starts_with("OperationDenied"));
        if !is_denied && !failure::is_outcome_unknown(&error) {
            return Err(NotSubmitted::Refused(error));
        }
        match instance::detail(&self.client, id).await {
            Ok(detail) if detail.is_pending() => Ok(()),
            Ok(_) if is_denied => Err(NotSubmitted::Refused(error)),
            // It did not arrive.
            Ok(_) => self.client.submit(&call).await.map(|_| ()).map_err(NotSubmitted::of),
            Err(_) => Err(NotSubmitted::of(error)),
        }
    }

    /// These contacts; where none is named, the account's first one.
    ///
    /// # Errors
    /// `ErrorKind::Usage` where the account has none; else of the service.
    pub async fn contacts(&self, named: &[u64]) -> Result<Vec<u64>> {
        if !named.is_empty() {
            return Ok(named.to_vec());
        }
        let reply = self.client.call(&Call::new("ListContact", order_2020::VERSION).with("ShowSize", 20)).await?;
        let first = reply.rows("ContactList").iter().find_map(|row| row.number("ContactId"));
        first.map(|contact| vec![contact]).ok_or_else(|| {
            Error::usage(t!("the account has no contact, and the service wants one"))
                .with_hint(t!("add one in the certificate console (Information management), then run the same command again"))
        })
    }

    async fn apply_package(&self, application: &Application, product: &str) -> Result<OrderId, NotSubmitted> {
        let [name, email, phone, ..] = applicant(application, false).map_err(NotSubmitted::Refused)?;
        let call = match (product, &application.csr) {
            (FREE, None) => Call::new("CreateCertificateRequest", order_2020::VERSION).with("Domain", list(&application.names)),
            (FREE, Some(csr)) => Call::new("CreateCertificateWithCsrRequest", order_2020::VERSION).with("Csr", csr),
            (_, csr) => Call::new("CreateCertificateForPackageRequest", order_2020::VERSION)
                .with("Domain", list(&application.names))
                .with_optional("Csr", csr.as_deref()),
        };
        let call = call
            .with("ProductCode", product)
            .with("Username", name)
            .with("Email", email)
            .with("Phone", phone)
            .with("ValidateType", application.check_type());
        self.order_of(call).await
    }

    async fn apply_renewal(&self, application: &Application, id: &OrderId) -> Result<OrderId, NotSubmitted> {
        let call = Call::new("RenewCertificateOrderForPackageRequest", order_2020::VERSION)
            .about(id)
            .with("OrderId", id)
            .with_optional("Csr", application.csr.as_deref());
        self.order_of(call).await
    }

    /// Sends a call that makes an order, and reads its id.
    async fn order_of(&self, call: Call) -> Result<OrderId, NotSubmitted> {
        let reply = self.client.submit(&call).await.map_err(NotSubmitted::of)?;
        let id = reply.text("OrderId").ok_or_else(|| NotSubmitted::Unknown(reply.lacks(call.action, "OrderId")))?;
        OrderId::parse(&id).map_err(NotSubmitted::Unknown)
    }

    async fn apply_2018(&self, application: &Application, id: &OrderId) -> Result<(), NotSubmitted> {
        let [name, email, phone, province, city] = applicant(application, true).map_err(NotSubmitted::Refused)?;
        let call = self.extras.on(Call::new("CreateDVOrderAudit", api_2018::VERSION)
            .about(id)
            .with("InstanceId", id)
            .with("Domain", list(&application.names))
            .with("DomainVerifyType", application.check_type())
            .with("Username", name)
            .with("Email", email)
            .with("Mobile", phone)
            .with("Province", province)
            .with("City", city));
        self.client.submit(&call).await.map(|_| ()).map_err(NotSubmitted::of)
    }

    /// The ids of the orders out of packages for the first name.
    async fn orders_for(&self, application: &Application) -> Result<BTreeSet<OrderId>> {
        let rows = order_2020::list_for(&self.client, &application.names[0]).await?;
        Ok(rows.into_iter().map(|row| row.summary.id).collect())
    }

    /// How far an order is, without its certificate where that is possible.
    pub(super) async fn read_state(&self, id: &OrderId) -> Result<crate::order::Order> {
        if self.is_wanted(Generation::Instance) {
            match instance::read_state(&self.client, id).await {
                Err(error) if error.kind() == ErrorKind::UnknownOrder || failure::is_not_served(&error) => {}
                outcome => return outcome,
            }
        }
        self.read(id).await
    }
}
