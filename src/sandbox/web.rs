//! What the HTTP services of the sandbox share: listening, reading requests, and faults that all answer alike.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    World,
    faults::{Answer, Service, lost},
    locked,
};
use crate::error::{Error, ErrorKind, Result};

/// The largest request body that is read, in bytes.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;

/// A request, read to its end.
pub(super) struct Received {
    /// Method, URL and headers.
    pub(super) parts: Parts,
    /// The body.
    pub(super) body: Bytes,
}

impl Received {
    /// A header as text; empty where it is missing or not text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The parameters of the query.
    pub(super) fn query(&self) -> BTreeMap<String, String> {
        form(self.parts.uri.query().unwrap_or_default().as_bytes())
    }

    /// The segments of the path, percent-decoded.
    pub(super) fn path(&self) -> Vec<String> {
        let decode = |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
        self.parts.uri.path().split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
    }

    /// The method.
    pub(super) fn method(&self) -> &Method {
        &self.parts.method
    }
}

/// Names and values of a form or a query; `+` is a space. Of a name that is there twice, the last counts.
pub(super) fn form(text: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

/// A listener at a free port of 127.0.0.1.
///
/// # Errors
/// `ErrorKind::Unexpected` where loopback cannot be bound.
pub(super) async fn listen() -> Result<TcpListener> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    bound.await.map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox cannot listen on 127.0.0.1").with_source(error))
}

/// What answers the requests of one service.
pub(super) type Handler = fn(&World, &Received) -> Response;

#[derive(Clone)]
struct Served {
    world: Arc<World>,
    service: Option<Service>,
    handler: Handler,
    stop: CancellationToken,
}

/// Serves until `stop`; requests of which the reply is still on its way then are given up. `service`: whose faults apply.
pub(super) async fn serve(
    listener: TcpListener,
    world: Arc<World>,
    service: Option<Service>,
    handler: Handler,
    stop: CancellationToken,
) {
    let router = Router::new().fallback(handle).with_state(Served { world, service, handler, stop: stop.clone() });
    // Ends when all connections have; it never fails before.
    let _ = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
}

async fn handle(State(served): State<Served>, request: Request) -> Response {
    let stop = served.stop.clone();
    tokio::select! {
        response = respond(served, request) => ending_with(response, stop),
        () = stop.cancelled() => lost(),
    }
}

async fn respond(served: Served, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST_REQUEST).await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "the request is too large\n".to_owned());
    };
    let received = Received { parts, body };
    note_leaks(&served.world, &received);
    let Some(service) = served.service else { return (served.handler)(&served.world, &received) };
    let action = match service {
        Service::Cas => super::cas::action(&received),
        Service::Provider | Service::Update | Service::Web => received.method().to_string(),
    };
    let answer = locked(&served.world.faults).take(service, &action);
    served.world.count_call(service, &action);
    let Some(answer) = answer else { return (served.handler)(&served.world, &received) };
    if let Some(raw) = answer.raw() {
        return raw;
    }
    if let Some(delay) = answer.delay() {
        tokio::time::sleep(delay).await;
    }
    if answer == Answer::Held {
        let cleared = locked(&served.world.faults).cleared();
        cleared.cancelled().await;
    }
    match (answer, service) {
        (Answer::Slow { .. } | Answer::Held, _) => (served.handler)(&served.world, &received),
        (Answer::LostReply, _) => {
            let _ = (served.handler)(&served.world, &received);
            lost()
        }
        (answer, Service::Cas) => super::cas::fault(&served.world, &received, &answer),
        (answer, Service::Web) => super::website::fault(&answer),
        (answer, Service::Provider | Service::Update) if super::powerdns::speaks(&received) => super::powerdns::fault(&answer),
        (answer, Service::Provider | Service::Update) => super::cloudflare::fault(&answer),
    }
}

/// Notes where a request shows a secret of the account: anywhere but in the header that it belongs into.
fn note_leaks(world: &World, received: &Received) {
    let options = &world.options;
    let has = |bytes: &[u8], secret: &str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
    let url = percent_encoding::percent_decode_str(&received.parts.uri.to_string()).collect::<Vec<u8>>();
    for secret in [&options.api_token, &options.access_key_secret, &options.tsig_secret] {
        let in_headers = received.parts.headers.iter().filter(|(name, value)| {
            let is_its_place = *secret == options.api_token && matches!(name.as_str(), "authorization" | "x-api-key");
            !is_its_place && has(value.as_bytes(), secret)
        });
        let mut places: Vec<String> = in_headers.map(|(name, _)| format!("header {name}")).collect();
        places.extend(has(&url, secret).then(|| "URL".to_owned()));
        places.extend(has(&received.body, secret).then(|| "body".to_owned()));
        let mut leaks = locked(&world.leaks);
        leaks.extend(
            places
                .into_iter()
                .map(|place| format!("a secret in the {place} of {} {}", received.method(), received.parts.uri.path())),
        );
    }
}

/// The response, with a body that breaks when the sandbox stops.
fn ending_with(response: Response, stop: CancellationToken) -> Response {
    use futures_util::StreamExt;
    if response.headers().contains_key(header::CONTENT_LENGTH)
        || axum::body::HttpBody::size_hint(response.body()).exact().is_some()
    {
        return response;
    }
    let (parts, body) = response.into_parts();
    let stopped = async move { stop.cancelled().await };
    Response::from_parts(parts, Body::from_stream(body.into_data_stream().take_until(Box::pin(stopped))))
}

/// A response with this text.
pub(super) fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A response with this JSON value.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    text(status, "application/json;charset=utf-8", value.to_string())
}
