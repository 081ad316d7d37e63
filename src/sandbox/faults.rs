//! Faults on demand: what goes wrong, where, and how often.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::Response,
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{dns::authority::Behaviour, orders::kinds::OrderChange};
use crate::order::OrderId;

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// The next calls are answered in this way.
    Calls {
        /// Whose calls.
        service: Service,
        /// Which: the action of a CAS call (`DescribeDVOrderResult`), the method of a provider call (`POST`). `None`: all.
        #[serde(default)]
        action: Option<String>,
        /// How many; `None`: all, until faults are cleared.
        #[serde(default)]
        times: Option<u32>,
        /// What happens to them.
        answer: Answer,
    },
    /// Something happens to an order.
    Order {
        /// Which.
        order: OrderId,
        /// What.
        change: OrderChange,
    },
    /// An authoritative server behaves like this from now on.
    Authority {
        /// Which: 0 is the primary, 1 and 2 are the secondaries.
        server: usize,
        /// How.
        behaviour: Behaviour,
    },
    /// So many certificates are left in the package of a product.
    Package {
        /// The product code.
        product: String,
        /// How many are left.
        left: u64,
    },
    /// The account has one more cloud resource that can hold a certificate.
    CloudResource {
        /// The service: `CDN`, `ALB` …
        product: String,
        /// The domain that it serves.
        domain: String,
        /// Whether every deployment to it fails.
        #[serde(default)]
        fails: bool,
    },
    /// The clock of the CAS is off by so many seconds.
    ClockSkew {
        /// Positive: it is ahead.
        seconds: i64,
    },
    /// The STS token that the CAS asked for so far has expired, and this one took its place.
    SecurityToken {
        /// The new one.
        token: String,
    },
}

/// An HTTP service of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The CAS.
    Cas,
    /// The DNS provider, through its HTTP APIs.
    Provider,
    /// DNS UPDATE at the primary. Of the answers it knows `drop`, `lost-reply` and, as SERVFAIL, every other.
    Update,
    /// The web server of every host, which the CA asks for files too.
    Web,
}

/// How a call is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// Too many calls: `Throttling.User` (CAS), HTTP 429 (provider).
    Throttle {
        /// The time that the reply asks to wait, if it asks: `x-acs-retry-after` (CAS, milliseconds), `Retry-After` (provider, whole
        /// seconds, rounded up).
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// HTTP 500 with the service's own error body.
    InternalError,
    /// This error, in the service's own form.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code; the provider's are numbers.
        code: String,
        /// The message.
        message: String,
    },
    /// HTTP 503 with a page of HTML, as gateways send it.
    Html503,
    /// The right reply, but so many milliseconds later.
    Slow {
        /// How much later.
        millis: u64,
    },
    /// The right reply, but only once all faults are taken back.
    Held,
    /// The connection is closed without a reply, and nothing was done.
    Drop,
    /// The work is done, but the connection is closed without a reply.
    LostReply,
    /// HTTP 200 with a body that is not JSON.
    NotJson,
    /// HTTP 200 with a body of so many bytes, the beginning of a JSON string.
    Huge {
        /// How many.
        bytes: usize,
    },
    /// HTTP 200 with a body that never ends.
    Endless,
    /// HTTP 307 to another place.
    Redirect {
        /// Where to.
        to: String,
    },
}

/// The faults that wait for calls.
#[derive(Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    /// Cancelled when the faults are taken back.
    cleared: CancellationToken,
}

struct Rule {
    service: Service,
    action: Option<String>,
    left: Option<u32>,
    answer: Answer,
}

impl Rules {
    /// One more fault; it comes after those that are there.
    pub(super) fn add(&mut self, service: Service, action: Option<String>, times: Option<u32>, answer: Answer) {
        if times != Some(0) {
            self.rules.push(Rule { service, action, left: times, answer });
        }
    }

    /// No faults any more.
    pub(super) fn clear(&mut self) {
        self.rules.clear();
        std::mem::take(&mut self.cleared).cancel();
    }

    /// What is cancelled when the faults that are there now are taken back.
    pub(super) fn cleared(&self) -> CancellationToken {
        self.cleared.clone()
    }

    /// What is to happen to this call, if anything; it is used up by that.
    pub(super) fn take(&mut self, service: Service, action: &str) -> Option<Answer> {
        let applies = |rule: &Rule| rule.service == service && rule.action.as_deref().is_none_or(|only| only == action);
        let index = self.rules.iter().position(applies)?;
        let rule = &mut self.rules[index];
        let answer = rule.answer.clone();
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                self.rules.remove(index);
            }
        }
        Some(answer)
    }
}

impl Answer {
    /// How much later the reply comes.
    pub(super) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Slow { millis } => Some(Duration::from_millis(*millis)),
            _ => None,
        }
    }

    /// The reply that no service would shape on its own; `None` for what each service shapes, or does, itself.
    pub(super) fn raw(&self) -> Option<Response> {
        let reply = |status, kind: &'static str, body: Body| {
            let mut response = Response::new(body);
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            response
        };
        match self {
            Self::Html503 => {
                let page = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n\
                            <center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n";
                Some(reply(StatusCode::SERVICE_UNAVAILABLE, "text/html", Body::from(page)))
            }
            Self::Drop => Some(lost()),
            Self::NotJson => Some(reply(StatusCode::OK, "application/json", Body::from("Service is in maintenance.\n"))),
            Self::Huge { bytes } => Some(reply(StatusCode::OK, "application/json", Body::from_stream(padding(Some(*bytes))))),
            Self::Endless => Some(reply(StatusCode::OK, "application/json", Body::from_stream(padding(None)))),
            Self::Redirect { to } => {
                let mut response = reply(StatusCode::TEMPORARY_REDIRECT, "text/plain", Body::empty());
                response.headers_mut().insert(header::LOCATION, header::HeaderValue::from_str(to).ok()?);
                Some(response)
            }
            Self::Throttle { .. }
            | Self::InternalError
            | Self::Error { .. }
            | Self::Slow { .. }
            | Self::Held
            | Self::LostReply => None,
        }
    }
}

/// A reply whose body breaks before its first byte: the server closes the connection and sends nothing.
pub(super) fn lost() -> Response {
    Response::new(Body::from_stream(stream::once(async {
        Err::<Bytes, _>(std::io::Error::other("the sandbox drops this connection"))
    })))
}

/// The beginning of a JSON string, and padding up to so many bytes, or for ever.
fn padding(bytes: Option<usize>) -> impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    const CHUNK: usize = 64 * 1024;
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let first = Bytes::from_static(b"\"");
    stream::unfold((bytes, Some(first)), move |(left, first)| {
        let next = first.unwrap_or_else(|| chunk.clone());
        async move {
            let next = left.map_or(next.clone(), |left| next.slice(..next.len().min(left)));
            if next.is_empty() {
                return None;
            }
            // Others are to run in between, or a server on one thread would do nothing else.
            tokio::task::yield_now().await;
            Some((Ok(next.clone()), (left.map(|left| left - next.len()), None)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up() {
        let mut rules = Rules::default();
        rules.add(Service::Cas, Some("A".to_owned()), Some(2), Answer::InternalError);
        rules.add(Service::Cas, None, Some(1), Answer::Html503);
        assert_eq!(rules.take(Service::Provider, "A"), None);
        assert_eq!(rules.take(Service::Cas, "A"), Some(Answer::InternalError));
        assert_eq!(rules.take(Service::Cas, "B"), Some(Answer::Html503));
        assert_eq!(rules.take(Service::Cas, "A"), Some(Answer::InternalError));
        assert_eq!(rules.take(Service::Cas, "A"), None);
        rules.add(Service::Provider, None, None, Answer::Drop);
        assert_eq!(rules.take(Service::Provider, "GET"), rules.take(Service::Provider, "POST"));
        rules.clear();
        assert_eq!(rules.take(Service::Provider, "GET"), None);
    }

    #[tokio::test]
    async fn padding_is_as_long_as_asked_for() {
        let response = Answer::Huge { bytes: 200_000 }.raw().unwrap();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body.len(), 200_000);
        let response = Answer::Endless.raw().unwrap();
        assert!(axum::body::to_bytes(response.into_body(), 1 << 20).await.is_err());
    }

    #[test]
    fn faults_are_read_as_the_documentation_writes_them() {
        let text = r#"[{"fault":"calls","service":"cas","action":"DescribeDVOrderResult","times":3,"answer":{"kind":"throttle"}},
            {"fault":"order","order":"cas-cn-1","change":{"kind":"late-challenge","millis":500}},
            {"fault":"authority","server":2,"behaviour":"lag-for-ever"},
            {"fault":"clock-skew","seconds":-3600}]"#;
        let faults: Vec<Fault> = serde_json::from_str(&text.replace("lag-for-ever", "lag-forever")).unwrap();
        assert_eq!(faults.len(), 4);
        assert!(serde_json::from_str::<Vec<Fault>>(text).is_err());
    }
}
