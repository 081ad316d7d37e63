//! HTTP as this program uses it: bounded in time and size, no redirects, no secrets in errors, plain text only to loopback.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{StatusCode, header::HeaderMap};
use tokio::sync::Semaphore;
use url::{Host, Url};

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    mutex::locked,
};

/// The largest reply body that is read, in bytes. What is longer is an error, not a truncated reply.
pub const MAX_REPLY: usize = 8 * 1024 * 1024;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one call may take in all, from sending to the last byte of the reply.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests to one host that are under way at the same time. Others wait: servers take few connections of one client well, and a process may
/// have few files open.
const AT_ONCE: usize = 64;

/// A client that every caller shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    timeout: Duration,
    /// By host and port.
    turns: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// A whole reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`MAX_REPLY`] bytes.
    pub body: Bytes,
}

impl Reply {
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first 300 characters of the body on one line, for errors. The caller redacts.
    pub fn excerpt(&self) -> String {
        let text = self.text();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(300) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None if line.is_empty() => t!("an empty body").to_owned(),
            None => line,
        }
    }

    /// The time that a `Retry-After` header asks to wait, in seconds or as a date (RFC 9110 section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get("retry-after")?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(date.duration_since(crate::failpoint::now())).unwrap_or_default())
    }
}

impl Http {
    /// A client with this program's limits. Proxies come from the usual variables (`HTTPS_PROXY`, `NO_PROXY` …).
    ///
    /// # Errors
    /// `ErrorKind::Config` where no TLS client can be made, as in an image without CA certificates.
    pub fn new() -> Result<Self> {
        Self::of_builder(builder())
    }

    /// A client that uses no proxy: for services of this machine itself.
    ///
    /// # Errors
    /// As [`Http::new`].
    pub fn direct() -> Result<Self> {
        Self::of_builder(builder().no_proxy())
    }

    fn of_builder(builder: reqwest::ClientBuilder) -> Result<Self> {
        let client = builder.build().map_err(|error| {
            Error::config(t!("no TLS client can be made here"))
                .with_source(error)
                .with_hint(t!("install the system's CA certificates (package `ca-certificates`) or set SSL_CERT_FILE"))
        })?;
        Ok(Self::of_client(client))
    }

    fn of_client(client: reqwest::Client) -> Self {
        Self { client, timeout: CALL_TIMEOUT, turns: Arc::default() }
    }

    /// A client that trusts the CA certificates in this file (PEM) and no others: for a server of one's own.
    ///
    /// # Errors
    /// `ErrorKind::Config` naming the file.
    pub fn trusting(path: &std::path::Path) -> Result<Self> {
        let wrong = |why: String| {
            Error::config(t!("the CA file `%{path}` %{why}", path = path.display(), why))
                .with_hint(t!("name a file with one or more certificates in PEM"))
        };
        let text = std::fs::read(path).map_err(|error| wrong(t!("cannot be read: %{error}", error)))?;
        let certificates =
            reqwest::Certificate::from_pem_bundle(&text).map_err(|error| wrong(t!("cannot be used: %{error}", error)))?;
        if certificates.is_empty() {
            return Err(wrong(t!("holds no certificate").into()));
        }
        let client =
            builder().tls_certs_only(certificates).build().map_err(|error| wrong(t!("cannot be used: %{error}", error)))?;
        Ok(Self::of_client(client))
    }

    /// The same client with another time limit for a call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The reqwest client underneath, to build requests with.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Sends a request and reads the whole reply. `what` names the call in errors ("POST /zones"). At most 64 requests to one host are under
    /// way at the same time; waiting for one's turn is not counted as time of the call.
    ///
    /// # Errors
    /// Of kind `kind`: no connection, time-out (both worth another try), a reply over [`MAX_REPLY`], a redirect. The URL is never
    /// part of the error, as it may hold credentials.
    pub async fn execute(&self, request: reqwest::Request, kind: ErrorKind, what: &str) -> Result<Reply> {
        let turns = self.turns_of(request.url());
        let _turn = turns.acquire().await;
        self.execute_at_once(request, kind, what).await
    }

    /// The same without waiting for a turn: for callers that have a pace of their own, and put the time of sending into the request.
    ///
    /// # Errors
    /// As [`Http::execute`].
    pub async fn execute_at_once(&self, request: reqwest::Request, kind: ErrorKind, what: &str) -> Result<Reply> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, Box::pin(self.execute_unbounded(request, kind, what, &host))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::new(
                kind,
                t!("%{what}: `%{host}` did not answer within %{timeout} s", what, host, timeout = timeout.as_secs()),
            )
            .with_retry(Retry::Later)),
        }
    }

    fn turns_of(&self, url: &Url) -> Arc<Semaphore> {
        let mut turns = locked(&self.turns);
        Arc::clone(turns.entry(url.authority().to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }

    async fn execute_unbounded(&self, request: reqwest::Request, kind: ErrorKind, what: &str, host: &str) -> Result<Reply> {
        let failed = |error: reqwest::Error| {
            let error = error.without_url();
            let why = innermost(&error);
            Error::new(kind, t!("%{what}: no answer from `%{host}`: %{why}", what, host, why))
                .with_retry(Retry::Later)
                .with_source(error)
        };
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let status = response.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let target =
                response.headers().get("location").and_then(|value| value.to_str().ok()).and_then(|text| Url::parse(text).ok());
            let target = target.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "elsewhere".to_owned());
            return Err(Error::new(
                kind,
                t!("%{what}: `%{host}` redirects to %{target}, which is not followed", what, host, target),
            )
            .with_http_status(status.as_u16())
            .with_hint(t!("check the base URL; credentials are never sent along a redirect")));
        }
        let headers = response.headers().clone();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_REPLY {
                return Err(Error::new(
                    kind,
                    t!("%{what}: the reply of `%{host}` is longer than %{size} MiB", what, host, size = MAX_REPLY / 1_048_576),
                )
                .with_http_status(status.as_u16()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("dv-verify/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
}

/// The innermost cause: reqwest's own texts say only that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(below) = last.source() {
        last = below;
    }
    last.to_string()
}

/// Whether the host of `url` is this machine by its own name or address, without asking DNS.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// Refuses what is neither https nor plain http to loopback (or where the user allowed plain http), and URLs with a password.
///
/// # Errors
/// `ErrorKind::Config`, naming `what`.
pub fn require_safe(url: &Url, allow_http: bool, what: &str) -> Result<()> {
    let host = url.host_str().unwrap_or_default();
    if url.password().is_some() || !url.username().is_empty() {
        return Err(Error::config(t!("%{what} holds a user name or password", what))
            .with_hint(t!("leave it out of the URL; credentials come from variables, files or the config")));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_http || is_loopback(url) => Ok(()),
        "http" => Err(Error::config(t!("%{what} is plain http to `%{host}`; credentials would travel readable", what, host))
            .with_hint(t!("use https"))),
        other => Err(Error::config(t!("%{what} has the scheme `%{other}`; only https works", what, other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        let safe = |text: &str| require_safe(&Url::parse(text).unwrap(), false, "the endpoint").is_ok();
        assert!(safe("https://cas.aliyuncs.com"));
        assert!(safe("http://127.0.0.1:8080"));
        assert!(safe("http://[::1]:8080"));
        assert!(safe("http://localhost"));
        assert!(!safe("http://cas.aliyuncs.com"));
        assert!(!safe("http://localhost.example.com"));
        assert!(!safe("ftp://example.com"));
        assert!(!safe("https://user:pass@example.com"));
        assert!(require_safe(&Url::parse("http://10.0.0.1").unwrap(), true, "x").is_ok());
    }

    #[tokio::test]
    async fn a_host_gets_only_so_many_requests_at_the_same_time() {
        let (there, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (arrived, gate) = (Arc::clone(&there), Arc::clone(&go));
        let answer = move || {
            let (arrived, gate) = (Arc::clone(&arrived), Arc::clone(&gate));
            async move {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let server =
            tokio::spawn(axum::serve(listener, axum::Router::new().route("/", axum::routing::get(answer))).into_future());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Http::direct().unwrap();
        let wanted = AT_ONCE + 20;
        let call = || {
            let (http, request) = (http.clone(), reqwest::Request::new(reqwest::Method::GET, url.clone()));
            async move { http.execute(request, ErrorKind::Provider, "GET /").await.unwrap() }
        };
        let calls: Vec<_> = (0..wanted).map(|_| tokio::spawn(call())).collect();
        let some = there.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        // The others had as much time as these, and more.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(there.available_permits(), 0);
        drop(some);
        go.add_permits(wanted);
        for call in calls {
            assert!(call.await.unwrap().status.is_success());
        }
        assert_eq!(there.available_permits(), wanted);
        server.abort();
    }
}
