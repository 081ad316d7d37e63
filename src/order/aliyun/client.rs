//! One call to CAS: signed, paced, repeated where that makes sense, counted.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder, Retryable as _};
use jiff::Timestamp;
use reqwest::{
    Method, Request,
    header::{ACCEPT, CONTENT_LENGTH, HeaderName, HeaderValue},
};
use url::Url;

use super::{
    Signature,
    call::{Call, Site},
    credentials::{CredentialChain, Credentials},
    failure::{self, Sent},
    pace::Paces,
    reply::{Fields, parse},
    signing::{self, Parameters, percent_encode},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    http::Http,
    language::t,
    mutex::locked,
    secret::{Redactor, Secret},
};

/// What makes one attempt unlike any other.
pub(super) struct Stamp {
    /// The nonce.
    pub(super) nonce: String,
    /// The time of sending.
    pub(super) timestamp: Timestamp,
}

/// What tests replace: the clock and randomness, and how long the first pause between two attempts is.
#[derive(Clone)]
pub(super) struct Surroundings {
    /// Called once for every attempt.
    pub(super) stamp: Arc<dyn Fn() -> Stamp + Send + Sync>,
    /// The pause before the second attempt; it doubles from there, plus jitter.
    pub(super) first_pause: Duration,
}

impl Default for Surroundings {
    fn default() -> Self {
        let stamp = || Stamp { nonce: format!("{:032x}", rand::random::<u128>()), timestamp: crate::failpoint::now() };
        Self { stamp: Arc::new(stamp), first_pause: Duration::from_millis(250) }
    }
}

/// The client that all calls of an account go through.
pub(super) struct Client {
    pub(super) http: Http,
    pub(super) endpoint: Url,
    pub(super) site: Site,
    pub(super) signature: Option<Signature>,
    pub(super) credentials: CredentialChain,
    pub(super) redactor: Redactor,
    pub(super) surroundings: Surroundings,
    pub(super) paces: Paces,
    /// Attempts sent, by action.
    pub(super) sent: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    /// Where the credentials of the last call came from.
    pub(super) origin: Mutex<Option<String>>,
}

impl Client {
    /// Sends a reading call, again after a pause where the failure is temporary, at most [`ATTEMPTS`] times.
    ///
    /// # Errors
    /// Of the last attempt. A pause of more than [`LONGEST_PAUSE`] that the server asks for is left to the caller.
    pub(super) async fn call(&self, call: &Call) -> Result<Fields> {
        // Hundreds of orders wait for their turn to call: each should take little memory until it has it.
        Box::pin(self.repeated(call, is_worth_another_try)).await
    }

    async fn repeated(&self, call: &Call, again: impl FnMut(&Error) -> bool) -> Result<Fields> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.surroundings.first_pause)
            .with_max_delay(LONGEST_PAUSE)
            .with_factor(2.0)
            .with_max_times(ATTEMPTS - 1)
            .with_jitter()
            .build();
        (|| self.attempt(call))
            .retry(pauses)
            .sleep(tokio::time::sleep)
            .when(again)
            .adjust(|error, pause| pause.map(|pause| pause_before_next(error.retry(), pause)))
            .notify(|error, pause| tracing::info!("{error}; next try in {} ms", pause.as_millis()))
            .await
    }

    /// Sends a call that changes something and must not be done twice: again only where the server certainly did nothing.
    ///
    /// # Errors
    /// Of the last attempt; [`failure::is_outcome_unknown`] tells whether it may have been done all the same.
    pub(super) async fn submit(&self, call: &Call) -> Result<Fields> {
        Box::pin(self.repeated(call, |error| is_worth_another_try(error) && !failure::is_outcome_unknown(error))).await
    }

    /// How many attempts were sent so far, by action.
    pub(super) fn calls(&self) -> Vec<(String, u64)> {
        let sent = locked(&self.sent);
        sent.iter().map(|(action, count)| ((*action).to_owned(), *count)).collect()
    }

    async fn attempt(&self, call: &Call) -> Result<Fields> {
        let credentials = Box::pin(self.credentials.resolve()).await?;
        self.note_origin(&credentials);
        self.paces.of(call.action).turn().await?;
        // Stamped after the turn was waited for, so that the time is that of sending.
        let stamp = (self.surroundings.stamp)();
        let (request, sent) = self.request(call, &credentials, stamp)?;
        *locked(&self.sent).entry(call.action).or_default() += 1;
        let reply = self.http.execute_at_once(request, ErrorKind::OrderSource, call.action).await;
        let reply = reply.map_err(|error| self.unreached(error))?;
        tracing::debug!(action = call.action, status = reply.status.as_u16(), bytes = reply.body.len(), "reply");
        let outcome = match parse(&reply) {
            Ok(parsed) if reply.status.is_success() && !parsed.is_error => Ok(parsed.fields),
            Ok(parsed) => Err(failure::of_reply(call, &self.site, &reply, &parsed.fields, &sent, &self.redactor)),
            Err(instead) => Err(failure::of_unreadable(call, &self.site, &reply, &instead)),
        };
        match outcome {
            // Temporary credentials that ended early: others are fetched for the next attempt.
            Err(error) if failure::is_expired_token(&error) && self.credentials.forget(&credentials).await => {
                Err(error.with_retry(Retry::Later))
            }
            outcome => outcome,
        }
    }

    /// A call that got no whole reply. Not every region has a CAS host, so the region may be the reason.
    fn unreached(&self, error: Error) -> Error {
        match (&error.hint(), &self.site.region) {
            (None, Some(region)) if error.http_status().is_none() => error.with_hint(t!(
                "check the network and the proxy variables; `--region %{region}` leads to `%{host}`, and only `cn-hangzhou` and \
                 `ap-southeast-1` serve certificate orders",
                region,
                host = self.site.host
            )),
            (None, None) if error.http_status().is_none() => error.with_hint(t!("check the network and the proxy variables")),
            _ => error,
        }
    }

    fn note_origin(&self, credentials: &Credentials) {
        let mut origin = locked(&self.origin);
        if origin.as_ref() != Some(&credentials.origin) {
            tracing::info!("Alibaba Cloud credentials `{}` come from {}", credentials.access_key_id, credentials.origin);
            *origin = Some(credentials.origin.clone());
        }
        if let Some(token) = &credentials.security_token {
            // The server repeats it as it stands in the string to sign, encoded twice.
            let once = percent_encode(token.expose());
            self.redactor.learn(&Secret::new(percent_encode(&once)));
            self.redactor.learn(&Secret::new(once));
        }
    }

    /// The signed request. Everything is in the query and the body is empty, which is what the vendor's SDKs send for all three generations.
    fn request(&self, call: &Call, credentials: &Credentials, stamp: Stamp) -> Result<(Request, Sent)> {
        let timestamp = stamp.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut url = self.endpoint.clone();
        url.set_path("/");
        let (headers, sent) = match self.signature.unwrap_or_else(|| Signature::usual(call.version)) {
            Signature::V1 => {
                let mut parameters = call.parameters.clone();
                let mut set = |name: &str, value: &str| parameters.insert(name.to_owned(), value.to_owned());
                set("Action", call.action);
                set("Version", call.version);
                set("Format", "JSON");
                set("AccessKeyId", &credentials.access_key_id);
                set("SignatureMethod", "HMAC-SHA1");
                set("SignatureVersion", "1.0");
                set("SignatureNonce", &stamp.nonce);
                set("Timestamp", &timestamp);
                if let Some(token) = &credentials.security_token {
                    set("SecurityToken", token.expose());
                }
                let signed = signing::v1(METHOD.as_str(), &parameters, &credentials.access_key_secret);
                let query = format!("{}&Signature={}", signed.canonical_query, percent_encode(&signed.signature));
                url.set_query(Some(&query));
                (
                    Parameters::new(),
                    Sent { timestamp: stamp.timestamp, string_to_sign: signed.string_to_sign, canonical_request: None },
                )
            }
            Signature::V3 => {
                let mut headers = Parameters::new();
                let mut set = |name: &str, value: &str| headers.insert(name.to_owned(), value.to_owned());
                set("host", &self.site.host);
                set("x-acs-action", call.action);
                set("x-acs-version", call.version);
                set("x-acs-date", &timestamp);
                set("x-acs-signature-nonce", &stamp.nonce);
                set("x-acs-content-sha256", &signing::content_hash(b""));
                if let Some(token) = &credentials.security_token {
                    set("x-acs-accesskey-id", &credentials.access_key_id);
                    set("x-acs-security-token", token.expose());
                }
                let signed = signing::v3(
                    METHOD.as_str(),
                    &call.parameters,
                    &headers,
                    &credentials.access_key_id,
                    &credentials.access_key_secret,
                );
                let query = signing::canonical_query(&call.parameters);
                url.set_query((!query.is_empty()).then_some(query.as_str()));
                // The client sends `Host` by itself, from the URL.
                headers.remove("host");
                headers.insert("authorization".to_owned(), signed.authorization);
                let told = Sent {
                    timestamp: stamp.timestamp,
                    string_to_sign: signed.string_to_sign,
                    canonical_request: Some(signed.canonical_request),
                };
                (headers, told)
            }
        };
        let mut request = Request::new(METHOD, url);
        // Without a body the HTTP library leaves the length out, which some gateways answer with 411.
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Err(Error::new(
                    ErrorKind::Credentials,
                    t!("the credentials from %{origin} hold characters that no header can carry", origin = credentials.origin),
                ));
            };
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        Ok((request, sent))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("site", &self.site).field("signature", &self.signature).finish_non_exhaustive()
    }
}

fn is_worth_another_try(error: &Error) -> bool {
    match error.retry() {
        Retry::Never => false,
        Retry::Later => true,
        Retry::After(pause) => pause <= LONGEST_PAUSE,
    }
}

/// The pause that the server asks for plus a fraction of the usual one, so that many callers do not come back at the same time.
fn pause_before_next(retry: Retry, usual: Duration) -> Duration {
    match retry {
        Retry::After(asked) => asked + usual / 4,
        Retry::Never | Retry::Later => usual,
    }
}

const METHOD: Method = Method::POST;

/// How often one call is sent at most.
const ATTEMPTS: usize = 5;

/// The longest pause between two attempts of one call.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_wish_goes_before_our_pause() {
        let usual = Duration::from_millis(400);
        assert_eq!(pause_before_next(Retry::Later, usual), usual);
        assert_eq!(pause_before_next(Retry::After(Duration::from_secs(3)), usual), Duration::from_millis(3100));
        let error = |retry| Error::new(ErrorKind::OrderSource, "x").with_retry(retry);
        assert!(is_worth_another_try(&error(Retry::After(Duration::from_secs(30)))));
        assert!(!is_worth_another_try(&error(Retry::After(Duration::from_secs(31)))));
        assert!(is_worth_another_try(&error(Retry::Later)));
        assert!(!is_worth_another_try(&error(Retry::Never)));
    }

    #[test]
    fn every_stamp_is_another() {
        let stamp = Surroundings::default().stamp;
        let (one, other) = (stamp(), stamp());
        assert_ne!(one.nonce, other.nonce);
        assert_eq!(one.nonce.len(), 32);
    }
}
