//! The ACME library's HTTP, over this program's client: the same limits, no second TLS stack.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient, Problem};
use jiff::Timestamp;
use serde::Deserialize;

use super::{directory::Ca, failure};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    http::{Http, Reply},
    language::t,
};

/// What a directory says about itself (RFC 8555 section 7.1.1).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// The terms of service.
    pub(super) terms_of_service: Option<String>,
    /// The profiles, with a description of each.
    #[serde(default)]
    pub(super) profiles: HashMap<String, String>,
}

/// A client for one CA.
#[derive(Clone)]
pub(super) struct AcmeHttp(Arc<Inner>);

struct Inner {
    http: Http,
    ca: Ca,
    seen: Mutex<Seen>,
}

/// What replies told beside their content.
#[derive(Default)]
struct Seen {
    meta: Meta,
    /// Until when the server asks to leave a URL alone.
    pauses: HashMap<String, Instant>,
}

impl AcmeHttp {
    pub(super) fn new(http: Http, ca: Ca) -> Self {
        Self(Arc::new(Inner { http, ca, seen: Mutex::new(Seen::default()) }))
    }

    /// What the directory said; empty before it was read.
    pub(super) fn meta(&self) -> Meta {
        self.seen().meta.clone()
    }

    /// How long the server asked to leave this URL alone, from now on.
    pub(super) fn pause(&self, url: &str) -> Option<Duration> {
        let until = *self.seen().pauses.get(url)?;
        Some(until.saturating_duration_since(Instant::now())).filter(|pause| !pause.is_zero())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse> {
        let Inner { http, ca, .. } = &*self.0;
        let (parts, body) = request.into_parts();
        let broken = |error: &dyn std::fmt::Display| Error::new(ErrorKind::OrderSource, format!("{}: {error}", ca.label));
        let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
        let url = parts.uri.to_string();
        let mut ours = http.client().request(parts.method.clone(), &url).body(body);
        if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
            ours = ours.header(CONTENT_TYPE, kind);
        }
        let ours = ours.build().map_err(|error| broken(&error.without_url()))?;
        let what = format!("{}: {} {}", ca.label, parts.method, parts.uri.path());
        let reply = http.execute(ours, ErrorKind::OrderSource, &what).await.map_err(with_clock)?;
        if reply.status.is_success() {
            self.remember(&url, &reply)?;
        } else if let Some(error) = refusal(ca, &what, &reply) {
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
        match reply.retry_after() {
            Some(pause) => _ = seen.pauses.insert(url.to_owned(), Instant::now() + pause),
            None => _ = seen.pauses.remove(url),
        }
        if url == self.0.ca.directory.as_str() {
            seen.meta = meta_of(&self.0.ca, reply)?;
        }
        Ok(())
    }
}

/// Makes sure that a reply is an ACME directory, and returns what it says about itself.
fn meta_of(ca: &Ca, reply: &Reply) -> Result<Meta> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Directory {
        #[serde(rename = "newNonce")]
        _nonce: String,
        #[serde(rename = "newAccount")]
        _account: String,
        #[serde(rename = "newOrder")]
        _order: String,
        #[serde(default)]
        meta: Option<Meta>,
    }
    let read: Result<Directory, _> = serde_json::from_slice(&reply.body);
    read.map(|directory| directory.meta.unwrap_or_default()).map_err(|_| {
        Error::config(t!(
            "`%{directory}` is not an ACME directory: it answers %{excerpt}",
            directory = ca.directory,
            excerpt = reply.excerpt()
        ))
        .with_hint(t!("name the CA, or give the URL of its directory, which its documentation tells"))
    })
}

/// What a reply that is no success says; `None` where the library deals with it (a nonce that was used up).
fn refusal(ca: &Ca, what: &str, reply: &Reply) -> Option<Error> {
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
        _ => error.with_hint(t!("is `%{directory}` the URL of an ACME directory?", directory = ca.directory)),
    })
}

/// A server certificate that is "expired" or "not valid yet" is more often a clock that is wrong.
fn with_clock(error: Error) -> Error {
    let text = error.to_string().to_ascii_lowercase();
    if text.contains("certificate")
        && (text.contains("expired") || text.contains("not valid yet") || text.contains("notvalidyet"))
    {
        let now = crate::failpoint::now();
        return error.with_retry(Retry::Never).with_hint(t!(
            "this machine's clock says %{now}: if that is wrong, set it; else the CA's certificate is at fault",
            now
        ));
    }
    if text.contains("certificate") {
        return error
            .with_retry(Retry::Never)
            .with_hint(t!("for a CA of your own, name the certificate that its server's chains to with `--ca-file`"));
    }
    error
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
