//! Orders of CAS that a watch keeps up: those whose certificates are on this disk.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use jiff::SignedDuration;

use super::{
    super::{apply::cas as applying, renew::cas as renewing, session::Session},
    on_disk,
};
use crate::{
    delivery::Current,
    error::{Error, ErrorKind, Result},
    failpoint,
    journey::watch::{Candidate, Renewals, Rests},
    language::t,
    mutex::locked,
    name::same_names,
    order::{
        Generation, OrderId, OrderSummary,
        acme::remembered,
        aliyun::{Cas, KeyFolder, applying::Application},
    },
    store::Store,
};

/// What was issued at CAS and lies on this disk.
pub(in crate::cli) struct CasUpkeep {
    cas: Arc<Cas>,
    store: Store,
    out: PathBuf,
    acme_folder: PathBuf,
    keys: KeyFolder,
    application: Application,
    /// How long before its end a certificate is due; at most a third of its lifetime.
    within: SignedDuration,
    due: Mutex<HashMap<OrderId, renewing::Renewal>>,
}

impl CasUpkeep {
    /// What this session wants.
    ///
    /// # Errors
    /// Where there is no place for certificates.
    pub(in crate::cli) fn new(session: &Session, cas: &Arc<Cas>, store: &Store) -> Result<Self> {
        let chosen = session.chosen();
        Ok(Self {
            cas: Arc::clone(cas),
            store: store.clone(),
            out: chosen.out()?,
            acme_folder: chosen.acme_folder()?,
            keys: KeyFolder::new(chosen.key_folder()?),
            application: chosen.application(),
            within: SignedDuration::try_from(chosen.renew_before).unwrap_or(SignedDuration::MAX),
            due: Mutex::default(),
        })
    }

    /// Whether the account need be asked at all: its lists are long, and most of the time nothing is near its end.
    fn is_near(&self, there: &Current) -> bool {
        let left = there.not_after.duration_since(failpoint::now());
        left < renewing::limit(Some(there.not_before), there.not_after, self.within)
    }
}

#[async_trait]
impl Renewals for CasUpkeep {
    async fn due(&self, rests: &Rests<'_>) -> Result<Vec<Candidate>> {
        let acme: Vec<OrderId> = remembered(&self.acme_folder)?
            .into_iter()
            .flat_map(|known| known.issued.into_iter().chain(known.under_way).map(|kept| kept.id))
            .collect();
        let mut current = on_disk(&self.out).await;
        current.retain(|there| !acme.contains(&there.order));
        let near: Vec<&Current> = current.iter().filter(|there| !rests(&there.order) && self.is_near(there)).collect();
        if near.is_empty() {
            return Ok(Vec::new());
        }
        let account = self.cas.account().await?;
        let renewals = renewing::due(&account.orders, &current, failpoint::now(), self.within);
        let mut due = HashMap::new();
        let mut candidates = Vec::new();
        for renewal in renewals.into_iter().filter(|renewal| renewal.is_here) {
            let Some(there) = near.iter().find(|there| same_names(&there.names, &renewal.names)) else { continue };
            let certificate = there.order.clone();
            let why = t!("it expires on %{day}", day = renewal.expires.strftime("%Y-%m-%d"));
            candidates.push(Candidate { certificate: certificate.clone(), names: renewal.names.clone(), why: Some(why) });
            due.insert(certificate, renewal);
        }
        *locked(&self.due) = due;
        Ok(candidates)
    }

    async fn apply(&self, certificate: &OrderId) -> Result<(OrderSummary, Option<String>)> {
        let found = locked(&self.due).get(certificate).cloned();
        let renewal =
            found.ok_or_else(|| Error::new(ErrorKind::UnknownOrder, t!("order `%{id}` is not due", id = certificate)))?;
        let current = on_disk(&self.out).await;
        let (names, application) = (renewal.names.clone(), self.application.clone());
        let (cas, store, keys) = (Arc::clone(&self.cas), self.store.clone(), self.keys.clone());
        let runtime = tokio::runtime::Handle::current();
        // On a thread of its own: the compiler does not see that these futures can go from thread to thread.
        let applied = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let wish = renewing::wish(&cas, application, &renewal, &current, false).await?;
                applying::apply(&store, &cas, wish, &keys, &current).await
            })
        });
        let applied = applied
            .await
            .map_err(|error| Error::new(ErrorKind::Unexpected, t!("the application broke off")).with_source(error))??;
        let summary = OrderSummary {
            id: applied.order().clone(),
            generation: if applied.order().is_number() { Generation::Order } else { Generation::Instance },
            domains: names,
            state: "applied".to_owned(),
            is_final: false,
            is_domain_validated: true,
        };
        Ok((summary, None))
    }
}
