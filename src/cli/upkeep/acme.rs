//! Certificates of ACME CAs that a watch keeps up.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    super::{apply::acme as applying, session::Session},
    on_disk,
};
use crate::{
    config::routing::Router,
    delivery::Current,
    error::{Error, ErrorKind, Result},
    journey::watch::{Candidate, Renewals, Rests},
    language::t,
    mutex::locked,
    order::{
        Generation, Order, OrderId, OrderState, OrderSummary,
        acme::{Acme, Manner, Wanted},
        renewal::{Due, Window},
    },
};

/// How long the CA's word on when to renew is good for (RFC 9773 section 4.3 lets the CA say; six hours is what CAs say).
const WINDOW_GOOD_FOR: Duration = Duration::from_secs(6 * 60 * 60);

/// What is under way, was issued, or stands in the config.
pub(in crate::cli) struct AcmeUpkeep {
    acme: Arc<Acme>,
    out: PathBuf,
    router: Arc<Router>,
    /// The certificates of the config.
    of_config: Vec<Wanted>,
    /// What the state folder knows, read anew for each look: `apply` may run beside the watch.
    known: Box<dyn Fn() -> Result<Vec<Wanted>> + Send + Sync>,
    /// What was due when it was last looked for.
    due: Mutex<HashMap<OrderId, Wanted>>,
    windows: Mutex<BTreeMap<String, (Instant, Option<Window>)>>,
}

impl AcmeUpkeep {
    /// What this session wants, and its source.
    ///
    /// # Errors
    /// A certificate of the config without a CA, or an external account that is wrong.
    pub(in crate::cli) fn new(session: &Session, router: &Arc<Router>) -> Result<Self> {
        let acme = Arc::new(Acme::new(applying::settings(session)?, Manner::Apply));
        let of_config = applying::of_config(session)?;
        for wanted in &of_config {
            applying::by_file(router, &wanted.names)?;
        }
        let (folder, out) = (session.chosen().acme_folder()?, session.chosen().out()?);
        let known = Box::new(move || applying::known(&folder, None));
        Ok(Self { acme, out, router: Arc::clone(router), of_config, known, due: Mutex::default(), windows: Mutex::default() })
    }

    /// The source of these orders.
    pub(in crate::cli) fn source(&self) -> Arc<Acme> {
        Arc::clone(&self.acme)
    }

    /// Whether there is anything to keep up.
    ///
    /// # Errors
    /// A state folder that cannot be read.
    pub(in crate::cli) fn has_any(&self) -> Result<bool> {
        Ok(!self.of_config.is_empty() || !(self.known)()?.is_empty())
    }

    /// Why a certificate is due: nothing where an order is under way; `None` where it is not due.
    async fn why(&self, wanted: &Wanted, before: Option<&Current>) -> Option<Option<String>> {
        if self.acme.is_pending(wanted) {
            return Some(None);
        }
        let Some(before) = before else { return Some(Some(t!("it is not there").to_owned())) };
        match applying::when(wanted, before, self.window(wanted).await.as_ref()) {
            Due::Now(why) => Some(Some(why)),
            Due::NotBefore(_) => None,
        }
    }

    /// When the CA wants the renewal, asked for every six hours.
    async fn window(&self, wanted: &Wanted) -> Option<Window> {
        let key = wanted.replaces.as_ref()?.to_string();
        if let Some((asked, window)) = locked(&self.windows).get(&key)
            && asked.elapsed() < WINDOW_GOOD_FOR
        {
            return window.clone();
        }
        let window = applying::window(&self.acme, wanted).await;
        let mut windows = locked(&self.windows);
        windows.retain(|_, (asked, _)| asked.elapsed() < WINDOW_GOOD_FOR);
        windows.insert(key, (Instant::now(), window.clone()));
        window
    }

    /// What is due, and why: as [`Self::why`] says.
    async fn look(&self, current: &[Current], rests: &Rests<'_>) -> Result<Vec<(Wanted, Option<String>)>> {
        let mut seen = HashSet::new();
        let mut due = Vec::new();
        for mut wanted in (self.known)()?.into_iter().chain(self.of_config.iter().cloned()) {
            if seen.contains(&wanted.id) || rests(&wanted.id) {
                continue;
            }
            let before = current.iter().find(|there| there.order == wanted.id);
            wanted.replaces = before.and_then(|before| crate::order::acme::certificate_identifier(&before.certificate));
            if let Some(why) = self.why(&wanted, before).await {
                seen.insert(wanted.id.clone());
                due.push((wanted, why));
            }
        }
        Ok(due)
    }

    /// Lets the source take it up. What a person should know of the account.
    async fn take_up(&self, mut wanted: Wanted) -> Result<Option<String>> {
        wanted.by_file = applying::by_file(&self.router, &wanted.names)?;
        let note = self.acme.open(&wanted.ca).await?;
        // The CA is asked for the order when that is first read, under its lock.
        self.acme.take_up(wanted);
        Ok(note)
    }
}

#[async_trait]
impl Renewals for AcmeUpkeep {
    async fn due(&self, rests: &Rests<'_>) -> Result<Vec<Candidate>> {
        let due = self.look(&on_disk(&self.out).await, rests).await?;
        let candidates = due.iter().map(|(wanted, why)| Candidate {
            certificate: wanted.id.clone(),
            names: wanted.names.clone(),
            why: why.clone(),
        });
        let candidates = candidates.collect();
        *locked(&self.due) = due.into_iter().map(|(wanted, _)| (wanted.id.clone(), wanted)).collect();
        Ok(candidates)
    }

    async fn apply(&self, certificate: &OrderId) -> Result<(OrderSummary, Option<String>)> {
        let found = locked(&self.due).get(certificate).cloned();
        let wanted =
            found.ok_or_else(|| Error::new(ErrorKind::UnknownOrder, t!("order `%{id}` is not due", id = certificate)))?;
        let summary = OrderSummary {
            id: wanted.id.clone(),
            generation: Generation::Acme,
            domains: wanted.names.clone(),
            state: "due".to_owned(),
            is_final: false,
            is_domain_validated: true,
        };
        Ok((summary, self.take_up(wanted).await?))
    }

    async fn settled(&self, order: &OrderId) -> Result<Option<Order>> {
        if self.acme.knows(order) {
            return Ok(None);
        }
        let current = on_disk(&self.out).await;
        if let Some((wanted, _)) = self.look(&current, &|id| id != order).await?.pop() {
            self.take_up(wanted).await?;
            return Ok(None);
        }
        // It was finished by somebody else, who may have died before everything was tidied up.
        if let Some(there) = current.into_iter().find(|there| there.order == *order)
            && let Some(bundle) = applying::bundle(&there)
        {
            self.acme.take_up_delivered(order.clone(), there.names, bundle);
            return Ok(None);
        }
        Ok(Some(Order {
            id: order.clone(),
            generation: Generation::Acme,
            domains: Vec::new(),
            state: OrderState::NotSubmitted,
            certificate_id: None,
            note: None,
        }))
    }
}
