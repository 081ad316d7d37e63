//! One order at the CA: what it waits for, and the steps to its certificate.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use instant_acme::{Account, AuthorizationStatus, ChallengeStatus, ChallengeType, NewOrder, OrderStatus};

use super::{
    challenge,
    failure::{self, UNREADABLE, of_library, patiently},
    http::{AcmeHttp, MadeUp},
    key, request,
    source::Manner,
    state::{Folder, Pending},
    wanted::Wanted,
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    failpoint,
    language::t,
    name::Name,
    order::{Bundle, Challenge, OrderState},
};

/// How long one look waits for a certificate that the CA is making; then the journey goes on with it.
const PROCESSING: Duration = Duration::from_secs(10);

/// The first pause between two looks at an order that is being processed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest of them, where the CA does not ask for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An order that was made, or found again.
pub(super) struct Live {
    account: Account,
    order: instant_acme::Order,
    http: AcmeHttp,
    ca: String,
    /// Whether the state was received just now.
    is_fresh: bool,
    /// What the CA wants to see; the same as long as this run lasts.
    challenges: Option<Vec<Challenge>>,
    /// The authorizations, each in a made-up order of its own ([`AcmeHttp::alone`]); empty until they are asked for.
    authorizations: Vec<Alone>,
}

/// One authorization.
struct Alone {
    order: instant_acme::Order,
    /// Keeps that order's URL answered.
    _made_up: MadeUp,
    /// Whether the CA was told to look.
    is_told: bool,
}

/// How many authorizations of one order are asked for, or told of, at the same time.
const AT_ONCE: usize = 8;

impl Live {
    /// Takes up the order that an earlier run left. One that has expired, or failed while nobody looked, is forgotten.
    pub(super) async fn find(account: &Account, http: &AcmeHttp, folder: &Folder, wanted: &Wanted) -> Result<Option<Self>> {
        let ca = &wanted.ca.label;
        let pending = folder.pending(&wanted.id)?.filter(|pending| pending.profile == wanted.profile);
        let Some(pending) = pending else { return Ok(None) };
        let found = patiently!(account.order(pending.url.clone()).await.map_err(|error| of_library(ca, error)));
        match found {
            Ok(mut order) => {
                if order.state().status != OrderStatus::Invalid {
                    return Ok(Some(Self::new(account, order, http, ca)));
                }
            }
            Err(error) if matches!(error.http_status(), Some(403 | 404 | 410)) => {}
            Err(error) => return Err(error),
        }
        folder.forget(&wanted.id)?;
        Ok(None)
    }

    /// Makes an order.
    pub(super) async fn make(account: &Account, http: &AcmeHttp, folder: &Folder, wanted: &Wanted) -> Result<Self> {
        if wanted.request.is_none() {
            key::check(wanted.key_type).await?;
        }
        let order = create(account, http, wanted).await?;
        failpoint::reach("acme.after-order");
        let (url, profile, certificate) = (order.url().to_owned(), wanted.profile.clone(), Some(wanted.kept()));
        folder.keep_pending(&wanted.id, &Pending { url, profile, certificate })?;
        failpoint::reach("acme.after-memory");
        Ok(Self::new(account, order, http, &wanted.ca.label))
    }

    fn new(account: &Account, order: instant_acme::Order, http: &AcmeHttp, ca: &str) -> Self {
        Self {
            account: account.clone(),
            order,
            http: http.clone(),
            ca: ca.to_owned(),
            is_fresh: true,
            challenges: None,
            authorizations: Vec::new(),
        }
    }

    /// Where the order is now. One that is ready is finalized, and its certificate fetched; not where it is only to be looked at.
    pub(super) async fn look(&mut self, folder: &Folder, wanted: &Wanted, manner: Manner) -> Result<OrderState> {
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
                OrderStatus::Pending => return self.challenges(wanted).await,
                OrderStatus::Ready | OrderStatus::Processing if manner == Manner::Look => return Ok(OrderState::Reviewing),
                OrderStatus::Ready => {
                    if let Some(refused) = self.finalize(folder, wanted).await? {
                        return Ok(refused);
                    }
                }
                OrderStatus::Processing => {
                    let asked = self.pause().unwrap_or(pause);
                    if began.elapsed() + asked > PROCESSING {
                        return Ok(OrderState::Reviewing);
                    }
                    tokio::time::sleep(asked).await;
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
    pub(super) async fn tell(&mut self, wanted: &Wanted) -> Result<()> {
        let told = patiently!(self.try_tell(wanted).await);
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

    async fn try_tell(&mut self, wanted: &Wanted) -> Result<()> {
        self.ask_for_authorizations().await?;
        let ca = &self.ca;
        let mut tellings = Vec::new();
        for alone in &mut self.authorizations {
            if !alone.is_told {
                tellings.push(alone.tell(ca, wanted));
            }
        }
        stream::iter(tellings).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Fetches the authorizations, where that was not done yet.
    async fn ask_for_authorizations(&mut self) -> Result<()> {
        if self.authorizations.is_empty() {
            let (ca, account, http) = (&self.ca, &self.account, &self.http);
            let made_up: Vec<MadeUp> = self.order.state().authorizations.iter().map(|there| http.alone(&there.url)).collect();
            let fetches = made_up.into_iter().map(|made_up| Alone::fetch(account, ca, made_up));
            self.authorizations = stream::iter(fetches).buffered(AT_ONCE).try_collect().await?;
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

    async fn challenges(&mut self, wanted: &Wanted) -> Result<OrderState> {
        if let Some(known) = &self.challenges {
            return Ok(OrderState::Checking(known.clone()));
        }
        self.ask_for_authorizations().await?;
        let mut found = Vec::new();
        for alone in &mut self.authorizations {
            found.extend(alone.challenge(&self.ca, wanted).await?);
        }
        if found.is_empty() {
            // Every authorization is decided, and the order has yet to notice.
            return Ok(OrderState::Reviewing);
        }
        self.challenges = Some(found.clone());
        Ok(OrderState::Checking(found))
    }

    /// Sends the certificate request; its key is on disk before. Returns how the CA refuses it, where it does.
    async fn finalize(&mut self, folder: &Folder, wanted: &Wanted) -> Result<Option<OrderState>> {
        let request = if let Some(request) = &wanted.request {
            request.der.clone()
        } else {
            let key = if let Some(key) = folder.key(&wanted.id)? {
                key
            } else {
                let key = key::make(wanted.key_type).await?;
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
                AuthorizationStatus::Invalid => t!("has failed"),
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

impl Alone {
    async fn fetch(account: &Account, ca: &str, made_up: MadeUp) -> Result<Self> {
        let mut order = account.order(made_up.url().to_owned()).await.map_err(|error| of_library(ca, error))?;
        patiently!(match order.authorizations().next().await {
            Some(Err(error)) => Err(of_library(ca, error)),
            _ => Ok(()),
        })?;
        Ok(Self { order, _made_up: made_up, is_told: false })
    }

    /// What the CA wants to see; `None` where it has seen it, or wants nothing any more.
    async fn challenge(&mut self, ca: &str, wanted: &Wanted) -> Result<Option<Challenge>> {
        // It is there already: nothing is fetched.
        let mut authorizations = self.order.authorizations();
        let Some(authorization) = authorizations.next().await else { return Ok(None) };
        let mut authorization = authorization.map_err(|error| of_library(ca, error))?;
        if authorization.status != AuthorizationStatus::Pending {
            return Ok(None);
        }
        let domain = Name::parse(&authorization.identifier().to_string())?;
        let by_file = wanted.by_file.contains(&domain);
        let Some(challenge) = authorization.challenge(method(&domain, wanted)) else {
            return Err(not_offered(ca, &domain, by_file));
        };
        let key_authorization = challenge.key_authorization();
        Ok(Some(if by_file {
            challenge::file(domain, &challenge.token, key_authorization.as_str().to_owned())
        } else {
            challenge::record(domain, key_authorization.dns_value())
        }))
    }

    /// Tells the CA to look, where it waits for that.
    async fn tell(&mut self, ca: &str, wanted: &Wanted) -> Result<()> {
        let mut authorizations = self.order.authorizations();
        let Some(authorization) = authorizations.next().await else { return Ok(()) };
        let mut authorization = authorization.map_err(|error| of_library(ca, error))?;
        if authorization.status == AuthorizationStatus::Pending {
            let domain = Name::parse(&authorization.identifier().to_string())?;
            if let Some(mut challenge) = authorization.challenge(method(&domain, wanted))
                && challenge.status == ChallengeStatus::Pending
            {
                challenge.set_ready().await.map_err(|error| of_library(ca, error))?;
            }
        }
        self.is_told = true;
        Ok(())
    }
}

/// How a name is proven.
fn method(domain: &Name, wanted: &Wanted) -> ChallengeType {
    if wanted.by_file.contains(domain) { ChallengeType::Http01 } else { ChallengeType::Dns01 }
}

fn not_offered(ca: &str, domain: &Name, by_file: bool) -> Error {
    let (offered, hint) = if by_file {
        ("http-01", t!("prove it by a record: leave `--webroot` and `--file-hook` out, and name a `--provider`"))
    } else {
        ("dns-01", t!("prove it by a file on its web server: `--webroot DIR`"))
    };
    Error::new(ErrorKind::OrderSource, t!("%{ca} does not offer %{offered} for `%{domain}`", ca, offered, domain)).with_hint(hint)
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
