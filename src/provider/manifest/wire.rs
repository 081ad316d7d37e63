//! The way out: real HTTP, or a script.

use async_trait::async_trait;
use reqwest::{
    Request,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::call::Outgoing;
use crate::{
    error::{Error, ErrorKind},
    http::{Http, Reply},
    language::t,
};

/// A call that has no reply.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the other side may have acted on the call all the same.
    pub(super) may_have_acted: bool,
}

/// Sends requests.
#[async_trait]
pub(super) trait Wire: Send + Sync {
    /// Sends one request and reads the whole reply, whatever its status.
    async fn send(&self, request: Outgoing) -> Result<Reply, Failure>;
}

#[async_trait]
impl Wire for Http {
    async fn send(&self, request: Outgoing) -> Result<Reply, Failure> {
        let what = request.what.clone();
        let unsent = |error: Error| Failure { error, may_have_acted: false };
        let request = to_reqwest(request).map_err(unsent)?;
        self.execute(request, ErrorKind::Provider, &what).await.map_err(|error| {
            let below = std::error::Error::source(&error).and_then(|below| below.downcast_ref::<reqwest::Error>());
            Failure { may_have_acted: !below.is_some_and(reqwest::Error::is_connect), error }
        })
    }
}

fn to_reqwest(outgoing: Outgoing) -> Result<Request, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &outgoing.headers {
        let wrong = || Error::provider(t!("%{what}: the header `%{name}` cannot be sent", what = outgoing.what, name));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let mut request = Request::new(outgoing.method, outgoing.url);
    *request.headers_mut() = headers;
    if !outgoing.body.is_empty() {
        *request.body_mut() = Some(outgoing.body.into());
    }
    Ok(request)
}
