//! One order at the CA: what it waits for, and the steps to its certificate.

use std::time::{Duration, Instant};

use instant_acme::{Account, AuthorizationStatus, ChallengeStatus, ChallengeType, NewOrder, OrderStatus};

use super::{
    Wanted,
    failure::{self, UNREADABLE, of_library, patiently},
    http::AcmeHttp,
    request,
    state::{Folder, Pending},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    failpoint,
    language::t,
    name::Name,
    order::{Bundle, Challenge, ChallengeKind, OrderState},
    record::RecordType,
};

/// How long one look waits for a certificate that the CA is making; then the journey goes on with it.
const PROCESSING: Duration = Duration::from_secs(10);

/// The first pause between two looks at an order that is being processed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest of them, where the CA does not ask for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An order that was made, or found again.
pub(super) struct Live {
    order: instant_acme::Order,
    http: AcmeHttp,
    ca: String,
    /// Whether the state was received just now.
    is_fresh: bool,
    /// What the CA wants to see; the same as long as this run lasts.
    challenges: Option<Vec<Challenge>>,
}

impl Live {
    /// Takes up the order that an earlier run left, else makes one.
    pub(super) async fn open(account: &Account, http: &AcmeHttp, folder: &Folder, wanted: &Wanted) -> Result<Self> {
        let ca = wanted.ca.label.clone();
        let live = |order| Self { order, http: http.clone(), ca: ca.clone(), is_fresh: true, challenges: None };
        if let Some(pending) = folder.pending(&wanted.id)?.filter(|pending| pending.profile == wanted.profile) {
            let found = patiently!(account.order(pending.url.clone()).await.map_err(|error| of_library(&ca, error)));
            match found {
                Ok(mut order) => {
                    // One that has expired, or failed while nobody looked, is no reason not to try again.
                    if order.state().status != OrderStatus::Invalid {
                        return Ok(live(order));
                    }
                }
                Err(error) if matches!(error.http_status(), Some(403 | 404 | 410)) => {}
                Err(error) => return Err(error),
            }
            folder.forget(&wanted.id)?;
        }
        let order = create(account, http, wanted).await?;
        failpoint::reach("acme.after-order");
        folder.keep_pending(&wanted.id, &Pending { url: order.url().to_owned(), profile: wanted.profile.clone() })?;
        failpoint::reach("acme.after-memory");
        Ok(live(order))
    }

    /// Where the order is now. One that is ready is finalized, and its certificate fetched.
    pub(super) async fn look(&mut self, folder: &Folder, wanted: &Wanted) -> Result<OrderState> {
        if !std::mem::take(&mut self.is_fresh)
            && let Err(error) = self.refresh().await
        {
            // Some servers show an order in states that the standard does not have: what became of its names tells.
            let reasons = if error.code() == Some(UNREADABLE) { self.lost_authorizations(true).await } else { Vec::new() };
            return if reasons.is_empty() { Err(error) } else { Ok(OrderState::Failed { reason: reasons.join("; ") }) };
        }
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.order.state().status {
                OrderStatus::Pending => return self.challenges().await,
                OrderStatus::Ready => {
                    if let Some(refused) = self.finalize(folder, wanted).await? {
                        return Ok(refused);
                    }
                }
                OrderStatus::Processing if began.elapsed() >= PROCESSING => return Ok(OrderState::Reviewing),
                OrderStatus::Processing => {
                    tokio::time::sleep(self.pause().unwrap_or(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.refresh().await?;
                }
                OrderStatus::Valid => return self.certificate(folder, wanted).await,
                OrderStatus::Invalid => {
                    let reason = self.why_invalid().await;
                    return Ok(OrderState::Failed { reason });
                }
            }
        }
    }

    /// Tells the CA to look, at every authorization that waits for it.
    pub(super) async fn tell(&mut self) -> Result<()> {
        let told = patiently!(self.try_tell().await);
        match told {
            // The order has moved on meanwhile, or ended: the next look says how.
            Err(error) if error.retry() == Retry::Never && matches!(error.kind(), ErrorKind::OrderSource | ErrorKind::Rights) => {
                match self.refresh().await {
                    Ok(()) if self.order.state().status == OrderStatus::Pending => Err(error),
                    Err(again) if again.code() != Some(UNREADABLE) => Err(again),
                    _ => Ok(()),
                }
            }
            told => told,
        }
    }

    async fn try_tell(&mut self) -> Result<()> {
        let ca = &self.ca;
        let mut authorizations = self.order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| of_library(ca, error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::Dns01) else { continue };
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await.map_err(|error| of_library(ca, error))?;
            }
        }
        Ok(())
    }

    /// How long the CA asked to leave the order alone.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.http.pause(self.order.url())
    }

    async fn refresh(&mut self) -> Result<()> {
        patiently!(self.order.refresh().await.map(|_| ()).map_err(|error| of_library(&self.ca, error)))
    }

    async fn challenges(&mut self) -> Result<OrderState> {
        if let Some(known) = &self.challenges {
            return Ok(OrderState::Checking(known.clone()));
        }
        let found = patiently!(self.ask_for_challenges().await)?;
        if found.is_empty() {
            // Every authorization is decided, and the order has yet to notice.
            return Ok(OrderState::Reviewing);
        }
        self.challenges = Some(found.clone());
        Ok(OrderState::Checking(found))
    }

    async fn ask_for_challenges(&mut self) -> Result<Vec<Challenge>> {
        let ca = &self.ca;
        let mut found = Vec::new();
        let mut authorizations = self.order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| of_library(ca, error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let identifier = authorization.identifier().to_string();
            let Some(challenge) = authorization.challenge(ChallengeType::Dns01) else {
                return Err(Error::new(
                    ErrorKind::OrderSource,
                    t!("%{ca} does not offer dns-01 for `%{identifier}`", ca, identifier),
                ));
            };
            let domain = Name::parse(&identifier)?;
            found.push(Challenge {
                name: format!("_acme-challenge.{}", domain.base()),
                domain: Some(domain),
                root_domain: None,
                kind: ChallengeKind::Record(RecordType::Txt),
                value: challenge.key_authorization().dns_value(),
            });
        }
        Ok(found)
    }

    /// Sends the certificate request; its key is on disk before. Returns how the CA refuses it, where it does.
    async fn finalize(&mut self, folder: &Folder, wanted: &Wanted) -> Result<Option<OrderState>> {
        let request = if let Some(request) = &wanted.request {
            request.der.clone()
        } else {
            let key = if let Some(key) = folder.key(&wanted.id)? {
                key
            } else {
                let key = request::make_key(wanted.key_type)?;
                folder.keep_key(&wanted.id, &key)?;
                key
            };
            request::sign(&wanted.names, &key)?
        };
        failpoint::reach("acme.before-finalize");
        let finalized = patiently!(self.order.finalize_csr(&request).await.map_err(|error| of_library(&self.ca, error)));
        failpoint::reach("acme.after-finalize");
        match finalized {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Refused => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Ok(Some(OrderState::Failed { reason: format!("{error}{hint}") }))
            }
            // An earlier try got through, though its answer did not.
            Err(error) if error.code() == Some("orderNotReady") || error.http_status() == Some(403) => {
                self.refresh().await?;
                if self.order.state().status == OrderStatus::Ready { Err(error) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    async fn certificate(&mut self, folder: &Folder, wanted: &Wanted) -> Result<OrderState> {
        let private_key = if wanted.request.is_some() { None } else { folder.key(&wanted.id)? };
        if wanted.request.is_none() && private_key.is_none() {
            // The state folder lost it; the certificate is of no use to anybody.
            folder.forget(&wanted.id)?;
            return Err(Error::new(
                ErrorKind::OrderSource,
                t!("the key of the certificate that %{ca} issued is gone", ca = self.ca),
            )
            .with_hint(t!("run the same command again: it applies anew")));
        }
        let fetched = patiently!(self.order.certificate().await.map_err(|error| of_library(&self.ca, error)))?;
        let Some(certificate) = fetched else { return Ok(OrderState::Reviewing) };
        Ok(OrderState::Issued(Bundle { certificate, private_key }))
    }

    /// Which authorization came to nothing, and what the CA saw.
    async fn why_invalid(&mut self) -> String {
        let mut reasons: Vec<String> = self.order.state().error.iter().map(failure::said).collect();
        reasons.extend(self.lost_authorizations(false).await);
        if reasons.is_empty() { t!("the order is invalid, and the CA does not say why").to_owned() } else { reasons.join("; ") }
    }

    /// The authorizations that came to nothing, each with what the CA saw. `anew`: those that were read before are read again.
    async fn lost_authorizations(&mut self, anew: bool) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut authorizations = self.order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if anew && authorization.refresh().await.is_err() {
                continue;
            }
            let name = authorization.identifier().to_string();
            let word = match authorization.status {
                AuthorizationStatus::Pending | AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Invalid => "failed",
                AuthorizationStatus::Revoked => t!("was revoked"),
                AuthorizationStatus::Expired => t!("has expired"),
                AuthorizationStatus::Deactivated => t!("was deactivated"),
            };
            let seen = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref()).map(|problem| {
                let hint = if failure::code(problem) == "caa" {
                    t!("; CAA records must name this CA, or there must be none")
                } else {
                    ""
                };
                format!("{} ({}){hint}", failure::said(problem), failure::code(problem))
            });
            let seen = seen.collect::<Vec<_>>().join(", ");
            let seen = if seen.is_empty() { String::new() } else { format!(": {seen}") };
            reasons.push(t!("the authorization of `%{name}` %{word}%{seen}", name, word, seen));
        }
        reasons
    }
}

/// Makes an order. What it replaces is said where the CA has renewal information, and left out where the CA does not take it.
async fn create(account: &Account, http: &AcmeHttp, wanted: &Wanted) -> Result<instant_acme::Order> {
    let ca = &wanted.ca.label;
    let identifiers: Vec<instant_acme::Identifier> =
        wanted.names.iter().map(|name| instant_acme::Identifier::Dns(name.as_str().to_owned())).collect();
    let profiles = http.meta().profiles;
    if let Some(profile) = &wanted.profile
        && !profiles.contains_key(profile)
    {
        let mut names: Vec<&str> = profiles.keys().map(String::as_str).collect();
        names.sort_unstable();
        let hint = if names.is_empty() {
            t!("this CA has none; leave `--profile` out").to_owned()
        } else {
            t!("it has %{names}", names = names.join(", "))
        };
        return Err(Error::config(t!("%{ca} has no profile `%{profile}`", ca, profile)).with_hint(hint));
    }
    let mut order = NewOrder::new(&identifiers);
    if let Some(profile) = &wanted.profile {
        order = order.profile(profile);
    }
    if let Some(certificate) = &wanted.replaces {
        let replacing = NewOrder::new(&identifiers).replaces(certificate.clone());
        let replacing = wanted.profile.iter().fold(replacing, |order, profile| order.profile(profile));
        let made = patiently!(account.new_order(&replacing).await.map_err(|error| of_library(ca, error)));
        if !matches!(&made, Err(error) if matches!(error.kind(), ErrorKind::OrderSource | ErrorKind::Config)) {
            return made;
        }
    }
    patiently!(account.new_order(&order).await.map_err(|error| of_library(ca, error)))
}
