//! Calls of one provider instance: built anew for each attempt, repeated where that is safe, with session and look-ups.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

use super::{
    call::{Page, build},
    clock::{Clock, Moment},
    credentials::Credentials,
    hosts::Hosts,
    plan::{Call, Plan},
    query::Query,
    scope::Scope,
    verdict::{LONGEST_PAUSE, Verdict, judge},
    wire::{Failure, Wire},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    provider::settings::Settings,
    secret::{Redactor, Secret},
};

/// How many pages of one list are read.
const MAX_PAGES: usize = 50;
/// How often a call is repeated after its first try.
const REPEATS: usize = 3;

/// Whether a call may be repeated when it is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reads, logs in, or removes: twice is as good as once.
    Repeatable,
    /// Adds or replaces: repeated only where it was certainly not acted on. The caller looks first, then decides.
    Write,
}

/// One provider instance.
pub(super) struct Client {
    pub(super) plan: Arc<Plan>,
    pub(super) credentials: Credentials,
    /// Known from the beginning, unless a base URL names what comes with the credentials.
    hosts: OnceLock<Hosts>,
    settings: Settings,
    pub(super) wire: Arc<dyn Wire>,
    pub(super) clock: Clock,
    pub(super) redactor: Redactor,
    /// What login and look-ups gave.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    session: Option<Secret>,
    lookups: Map<String, Value>,
    /// How far the service's clock is ahead of ours.
    ahead: Option<SignedDuration>,
}

impl Client {
    /// A client that has not called yet.
    pub(super) fn new(
        plan: Arc<Plan>,
        credentials: Credentials,
        (hosts, settings): (Option<Hosts>, Settings),
        wire: Arc<dyn Wire>,
        clock: Clock,
        redactor: Redactor,
    ) -> Self {
        let hosts = hosts.map_or_else(OnceLock::new, OnceLock::from);
        Self { plan, credentials, hosts, settings, wire, clock, redactor, known: Mutex::default() }
    }

    /// Where calls may go.
    ///
    /// # Errors
    /// As [`Hosts::resolve`].
    pub(super) fn hosts(&self) -> Result<&Hosts> {
        if let Some(hosts) = self.hosts.get() {
            return Ok(hosts);
        }
        let hosts = Hosts::resolve(&self.plan, &self.settings, &self.credentials)?;
        Ok(self.hosts.get_or_init(|| hosts))
    }

    /// Makes a call with everything that it needs: credentials, session, look-ups.
    ///
    /// # Errors
    /// As [`judge`]; `Credentials` where a session cannot be had.
    pub(super) async fn ask(&self, call: &Call, scope: &Scope, purpose: Purpose) -> Result<Verdict> {
        self.ask_page(call, scope, purpose, None).await
    }

    /// Reads all pages of a list and gives what `query` yields on each, and what each of `besides` gives first, from page to page.
    ///
    /// # Errors
    /// As [`Client::ask`]; also where there are more than 50 pages, or the next one is the same again.
    pub(super) async fn list<const N: usize>(
        &self,
        call: &Call,
        query: &Query,
        next: Option<&Query>,
        besides: [Option<&Query>; N],
        scope: &Scope,
    ) -> Result<Option<Listed<N>>> {
        let mut listed = Listed { values: Vec::new(), besides: [const { None }; N], first_body: Value::Null };
        let mut page: Option<Page> = None;
        for number in 0..MAX_PAGES {
            let reply = match self.ask_page(call, scope, Purpose::Repeatable, page.as_ref()).await? {
                Verdict::Done(reply) => reply,
                Verdict::Absent(_) | Verdict::Exists if number == 0 => return Ok(None),
                // Half a list is no list: a set that is rewritten from it would lose the rest.
                Verdict::Absent(_) | Verdict::Exists => {
                    let page = number + 1;
                    return Err(Error::provider(t!(
                        "%{id}: %{section}: page %{page} is not there",
                        id = self.plan.outline.id,
                        section = call.section,
                        page
                    )));
                }
            };
            let mut variables = scope.variables_with(&reply.headers);
            variables.insert("page", (number + 1).into());
            let wrong = |why: String| {
                reply.of_another_shape(&self.plan.outline.id, &format!("{}: {}", call.section, self.redactor.redact(&why)))
            };
            listed.values.extend(query.run(&reply.body, &variables).map_err(wrong)?);
            for (found, query) in listed.besides.iter_mut().zip(besides) {
                if let (None, Some(query)) = (&found, query) {
                    *found = query.first(&reply.body, &variables).map_err(wrong)?;
                }
            }
            let next_page = next.map_or(Ok(None), |next| next.first(&reply.body, &variables)).map_err(wrong)?;
            if number == 0 {
                listed.first_body = reply.body;
            }
            let Some(next_page) = next_page.map(|value| self.page(call, value)).transpose()?.flatten() else {
                return Ok(Some(listed));
            };
            if page.as_ref() == Some(&next_page) {
                return Err(Error::provider(t!(
                    "%{id}: %{section} names the same next page again",
                    id = self.plan.outline.id,
                    section = call.section
                )));
            }
            page = Some(next_page);
        }
        Err(Error::provider(t!(
            "%{id}: %{section} has more than %{MAX_PAGES} pages",
            id = self.plan.outline.id,
            section = call.section,
            MAX_PAGES
        )))
    }

    /// Ends the session where the manifest says how. Failures do not matter: the session ends by itself.
    pub(super) async fn log_out(&self) {
        let Some(logout) = &self.plan.logout else { return };
        let mut known = self.known.lock().await;
        if let Some(session) = known.session.take() {
            let scope = Scope::default().with("session", session.expose());
            if let Ok(scope) = self.with_credentials(&scope, known.ahead)
                && let Err(error) = self.attempt(logout, &scope, None).await
            {
                tracing::debug!(provider = self.plan.outline.id, error = %error.error, "logging out failed");
            }
        }
    }

    /// Logs in and looks up, so that credentials are proved where nothing else can be asked.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub(super) async fn prepare(&self) -> Result<()> {
        self.ready(&Scope::default()).await.map(|_| ())
    }

    async fn ask_page(&self, call: &Call, scope: &Scope, purpose: Purpose, page: Option<&Page>) -> Result<Verdict> {
        let (ready, is_old) = self.ready(scope).await?;
        match self.repeated(call, &ready, purpose, page).await {
            // A session that ran out meanwhile: once more with a new one.
            Err(error) if is_old && error.kind() == ErrorKind::Credentials => {
                self.known.lock().await.session = None;
                let (ready, _) = self.ready(scope).await?;
                self.repeated(call, &ready, purpose, page).await
            }
            outcome => outcome,
        }
    }

    /// The scope with credentials, session and look-ups; whether the session is one of an earlier call.
    async fn ready(&self, scope: &Scope) -> Result<(Scope, bool)> {
        self.credentials.renew().await?;
        if self.plan.login.is_none() && self.plan.lookups.is_empty() && self.plan.clock.is_none() {
            return Ok((self.with_credentials(scope, None)?, false));
        }
        let mut known = self.known.lock().await;
        if let (Some(clock), None) = (&self.plan.clock, known.ahead) {
            known.ahead = Some(self.read_clock(clock).await?);
        }
        let mut scope = self.with_credentials(scope, known.ahead)?;
        let mut is_old = false;
        if let Some(session) = self.credentials.session() {
            scope.set("session", session);
        } else if let Some(login) = &self.plan.login {
            if let Some(session) = &known.session {
                scope.set("session", session.expose());
                is_old = true;
            } else {
                let session = self.fetch(&login.call, &login.value, &scope).await?;
                let text = super::plan::text_of(&session);
                let session = Secret::new(
                    text.ok_or_else(|| Error::provider(t!("%{id}: the session is no text", id = self.plan.outline.id)))?,
                );
                self.redactor.learn(&session);
                scope.set("session", session.expose());
                known.session = Some(session);
            }
        }
        for lookup in &self.plan.lookups {
            let value = match known.lookups.get(&lookup.name) {
                Some(value) => value.clone(),
                None => self.fetch(&lookup.call, &lookup.value, &scope).await?,
            };
            scope.set(&lookup.name, value.clone());
            known.lookups.insert(lookup.name.clone(), value);
        }
        Ok((scope, is_old))
    }

    fn with_credentials(&self, scope: &Scope, ahead: Option<SignedDuration>) -> Result<Scope> {
        let mut scope = scope.with("cred", self.credentials.object(scope.owner())?);
        scope.ahead = ahead.unwrap_or_default();
        Ok(scope)
    }

    /// How far the service's clock is ahead. The call is made without credentials, and so without what needs them.
    async fn read_clock(&self, clock: &super::plan::Login) -> Result<SignedDuration> {
        let time = self.fetch(&clock.call, &clock.value, &Scope::default()).await?;
        let theirs = time.as_i64().or_else(|| time.as_str()?.trim().parse().ok());
        let theirs = theirs.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let theirs = theirs
            .ok_or_else(|| Error::provider(t!("%{id}: [clock]: the reply is no time in seconds", id = self.plan.outline.id)))?;
        Ok(theirs.duration_since(self.clock.moment().time))
    }

    /// The moment of an attempt by the service's clock.
    pub(super) fn moment(&self, scope: &Scope) -> Moment {
        let moment = self.clock.moment();
        let time = moment.time.checked_add(scope.ahead).unwrap_or(moment.time);
        Moment { time, ..moment }
    }

    /// One value that everything else needs.
    async fn fetch(&self, call: &Call, query: &Query, scope: &Scope) -> Result<Value> {
        let missing = || {
            Error::provider(t!(
                "%{id}: the reply to %{section} lacks what is needed",
                id = self.plan.outline.id,
                section = call.section
            ))
        };
        match self.repeated(call, scope, Purpose::Repeatable, None).await? {
            Verdict::Done(reply) => {
                let variables = scope.variables_with(&reply.headers);
                query.first(&reply.body, &variables).ok().flatten().ok_or_else(missing)
            }
            Verdict::Absent(error) => Err(*error),
            Verdict::Exists => Err(missing()),
        }
    }

    /// Repeats what is worth another try and safe to repeat, with growing pauses or as long as the service asks.
    async fn repeated(&self, call: &Call, scope: &Scope, purpose: Purpose, page: Option<&Page>) -> Result<Verdict> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(REPEATS)
            .with_jitter();
        let clock = self.clock.clone();
        (|| self.attempt(call, scope, page))
            .retry(pauses)
            .sleep(move |time| clock.pause(time))
            .when(|failure| failure.error.retry() != Retry::Never && (purpose == Purpose::Repeatable || !failure.may_have_acted))
            .adjust(|failure, pause| match failure.error.retry() {
                Retry::After(asked) if asked > LONGEST_PAUSE => None,
                Retry::After(asked) => pause.map(|pause| pause.max(asked)),
                Retry::Later | Retry::Never => pause,
            })
            .notify(|failure, pause| {
                tracing::debug!(provider = self.plan.outline.id, error = %failure.error, ?pause, "trying again");
            })
            .await
            .map_err(|failure| failure.error)
    }

    async fn attempt(&self, call: &Call, scope: &Scope, page: Option<&Page>) -> Result<Verdict, Failure> {
        let unsent = |error: Error| Failure { error, may_have_acted: false };
        let request = build(self, call, scope, page).map_err(unsent)?;
        let what = self.redactor.redact(&request.what);
        let reply = self.wire.send(request).await?;
        judge(&self.plan, &what, &reply, &self.redactor).map_err(|error| {
            // A service that says "too many" has not acted; one that fails within may have.
            Failure { may_have_acted: error.http_status().is_none_or(|status| status >= 500), error }
        })
    }

    /// What `next` said: an object of keys, or the URL of the page (of a host that the manifest names).
    fn page(&self, call: &Call, next: Value) -> Result<Option<Page>> {
        match next {
            Value::Object(changes) if changes.is_empty() => Ok(None),
            Value::Object(changes) => Ok(Some(Page::Merge(changes))),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => {
                let base = self.hosts()?.url(call.host.as_deref(), "")?;
                let url = Url::options().base_url(Some(&base)).parse(&text);
                let url = url.map_err(|_| {
                    Error::provider(t!(
                        "%{id}: %{section}: the next page's URL is none",
                        id = self.plan.outline.id,
                        section = call.section
                    ))
                })?;
                self.hosts()?.require_known(&url)?;
                Ok(Some(Page::At(url)))
            }
            Value::Null | Value::Bool(false) => Ok(None),
            _ => Err(Error::provider(t!(
                "%{id}: %{section}: `next` must be an object or a URL",
                id = self.plan.outline.id,
                section = call.section
            ))),
        }
    }
}

/// What a list gave, over all pages.
#[derive(Debug)]
pub(super) struct Listed<const N: usize> {
    /// What the query yielded.
    pub(super) values: Vec<Value>,
    /// What the queries beside it gave first, each on the first page where it gave anything.
    pub(super) besides: [Option<Value>; N],
    /// The body of the first page.
    pub(super) first_body: Value,
}
