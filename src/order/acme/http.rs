//! The ACME library's HTTP, over this program's client: the same limits, no second TLS stack.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient, Problem};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{
    directory::Ca,
    failure,
    seen::{Meta, Seen},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    http::{Http, Reply},
    language::t,
    mutex::locked,
};

/// An order that was made up; its URL is answered until this is dropped.
pub(super) struct MadeUp {
    http: AcmeHttp,
    url: String,
}

impl MadeUp {
    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for MadeUp {
    fn drop(&mut self) {
        self.http.seen().forget(&self.url);
    }
}

/// A client for one CA.
#[derive(Clone)]
pub(super) struct AcmeHttp(Arc<Inner>);

struct Inner {
    http: Http,
    ca: Ca,
    seen: Mutex<Seen>,
    turns: Semaphore,
}

/// So many requests to one CA are under way at the same time, over all orders of a run.
const AT_ONCE: usize = 16;

/// The header with a nonce.
const REPLAY_NONCE: &str = "replay-nonce";

impl AcmeHttp {
    pub(super) fn new(http: Http, ca: Ca) -> Self {
        Self(Arc::new(Inner { http, ca, seen: Mutex::new(Seen::default()), turns: Semaphore::new(AT_ONCE) }))
    }

    /// What the directory said; empty before it was read.
    pub(super) fn meta(&self) -> Meta {
        self.seen().meta.clone()
    }

    /// How long the server asked to leave this URL alone, from now on.
    pub(super) fn pause(&self, url: &str) -> Option<Duration> {
        self.seen().pause(url, Instant::now())
    }

    /// An order that is made up here, with this authorization alone. The library fetches the authorizations of one order one after another;
    /// those of several orders can be fetched at the same time.
    pub(super) fn alone(&self, authorization: &str) -> MadeUp {
        let url = self.seen().make_up(authorization);
        MadeUp { http: self.clone(), url }
    }

    /// What is answered here, without the server: made-up orders, and nonces as long as there are unused ones.
    fn answer_here(&self, parts: &http::request::Parts, url: &str, body: &[u8]) -> Option<(HeaderMap, Bytes)> {
        let mut seen = self.seen();
        if let Some(order) = seen.made_up(url, body) {
            return Some((HeaderMap::new(), order.into()));
        }
        if parts.method != http::Method::HEAD {
            return None;
        }
        let nonce = seen.nonce(url)?.parse().ok()?;
        Some((HeaderMap::from_iter([(HeaderName::from_static(REPLAY_NONCE), nonce)]), Bytes::new()))
    }

    /// Takes the nonce of a reply.
    fn take_nonce(&self, headers: &mut HeaderMap) {
        let Some(nonce) = headers.remove(REPLAY_NONCE) else { return };
        self.seen().keep_nonce(nonce.to_str().ok().map(str::to_owned));
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        locked(&self.0.seen)
    }

    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse> {
        let Inner { http, ca, turns, .. } = &*self.0;
        let (parts, body) = request.into_parts();
        let broken = |error: &dyn std::fmt::Display| Error::new(ErrorKind::OrderSource, format!("{}: {error}", ca.label));
        let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
        let url = parts.uri.to_string();
        if let Some((headers, body)) = self.answer_here(&parts, &url, &body) {
            let (mut parts, ()) = http::Response::new(()).into_parts();
            parts.headers = headers;
            return Ok(BytesResponse { parts, body: Box::new(body) });
        }
        let mut ours = http.client().request(parts.method.clone(), &url).body(body);
        if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
            ours = ours.header(CONTENT_TYPE, kind);
        }
        let ours = ours.build().map_err(|error| broken(&error.without_url()))?;
        let what = format!("{}: {} {}", ca.label, parts.method, parts.uri.path());
        let turn = turns.acquire().await;
        let mut reply = http.execute(ours, ErrorKind::OrderSource, &what).await.map_err(without_answer)?;
        drop(turn);
        if parts.method != http::Method::HEAD {
            self.take_nonce(&mut reply.headers);
        }
        if reply.status.is_success() {
            self.remember(&url, &reply)?;
        } else if let Some(error) = refusal(ca, &what, &url, &reply) {
            return Err(error);
        }
        let mut response = http::Response::builder().status(reply.status);
        if let Some(headers) = response.headers_mut() {
            *headers = reply.headers;
            // The library asks for this header on renewal information; a server that leaves it out means "some time later".
            if parts.method == http::Method::GET {
                headers.entry(http::header::RETRY_AFTER).or_insert(http::HeaderValue::from_static("21600"));
            }
        }
        let (parts, ()) = response.body(()).map_err(|error| broken(&error))?.into_parts();
        Ok(BytesResponse { parts, body: Box::new(reply.body) })
    }

    fn remember(&self, url: &str, reply: &Reply) -> Result<()> {
        let mut seen = self.seen();
        seen.keep_pause(url, reply.retry_after(), Instant::now());
        if url == self.0.ca.directory.as_str() {
            (seen.meta, seen.new_nonce) = meta_of(&self.0.ca, reply).map(|(meta, nonce)| (meta, Some(nonce)))?;
        }
        Ok(())
    }
}

/// Makes sure that a reply is an ACME directory, and returns what it says about itself, and where nonces come from.
fn meta_of(ca: &Ca, reply: &Reply) -> Result<(Meta, String)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Directory {
        #[serde(rename = "newNonce")]
        nonce: String,
        #[serde(rename = "newAccount")]
        _account: String,
        #[serde(rename = "newOrder")]
        _order: String,
        #[serde(default)]
        meta: Option<Meta>,
    }
    let read: Result<Directory, _> = serde_json::from_slice(&reply.body);
    read.map(|directory| (directory.meta.unwrap_or_default(), directory.nonce)).map_err(|_| {
        Error::config(t!(
            "`%{directory}` is not an ACME directory: it answers %{excerpt}",
            directory = ca.directory,
            excerpt = reply.excerpt()
        ))
        .with_hint(t!("name the CA, or give the URL of its directory, which its documentation tells"))
    })
}

/// What a reply that is no success says; `None` where the library deals with it (a nonce that was used up).
fn refusal(ca: &Ca, what: &str, url: &str, reply: &Reply) -> Option<Error> {
    let status = reply.status.as_u16();
    let pause = reply.retry_after();
    if let Ok(problem) = serde_json::from_slice::<Problem>(&reply.body)
        && problem.r#type.is_some()
    {
        return (failure::code(&problem) != "badNonce" || status != 400)
            .then(|| failure::of_problem(&ca.label, &problem, status, pause, Timestamp::now()));
    }
    let error = Error::new(ErrorKind::OrderSource, format!("{what}: {}", reply.excerpt())).with_http_status(status);
    Some(match (status, pause) {
        (429 | 500.., Some(pause)) => error.with_retry(Retry::After(pause)),
        (429 | 500.., None) => error.with_retry(Retry::Later),
        _ => {
            let kind = if url == ca.directory.as_str() { ErrorKind::Config } else { ErrorKind::OrderSource };
            error.with_kind(kind).with_hint(t!("is `%{directory}` the URL of an ACME directory?", directory = ca.directory))
        }
    })
}

/// What to do where there is no answer. A server certificate that is "expired" or "not valid yet" is more often a clock that is wrong.
fn without_answer(error: Error) -> Error {
    let text = error.to_string().to_ascii_lowercase();
    let is_of_another_time =
        ["expired", "not valid yet", "notvalidyet"].iter().any(|word| text.contains(word)) && text.contains("certificate");
    if is_of_another_time {
        let now = crate::failpoint::now();
        return error.with_retry(Retry::Never).with_hint(t!(
            "this machine's clock says %{now}: if that is wrong, set it; else the CA's certificate is at fault",
            now
        ));
    }
    if text.contains("causedasendentity") {
        return error.with_retry(Retry::Never).with_hint(t!(
            "the server shows the certificate of a CA, such as a self-signed one: give it one that a CA has signed, and name the CA's with `--ca-file`"
        ));
    }
    if text.contains("certificate") {
        return error
            .with_retry(Retry::Never)
            .with_hint(t!("for a CA of your own, name the certificate that its server's chains to with `--ca-file`"));
    }
    if error.http_status().is_some() {
        return error;
    }
    error.with_hint(t!("check the network and the URL of the CA; a proxy is taken from `HTTPS_PROXY`"))
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move { client.send(request).await.map_err(|error| instant_acme::Error::Other(Box::new(error))) })
    }
}
