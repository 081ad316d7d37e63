//! The HTTP server: little, bounded, and strict about who reads.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::stream;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

use super::{Board, Listen, Snapshots, access::Access, metrics, page};
use crate::{
    delivery::Held,
    error::{Error, Result},
    language::t,
    mutex::locked,
};

/// Connections at the same time; more are closed at once.
const CONNECTIONS: usize = 64;

/// Pages that are live at the same time; more are told to come back later, and look by themselves now and then.
const LIVE_PAGES: usize = 16;

/// How long a client may take to say what it wants, and how long an idle connection stays.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The shortest time between two messages to a live page.
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// How much longer that time is for each order on the page, since each makes it heavier.
const PAUSE_PER_ORDER: Duration = Duration::from_millis(10);

/// How often a live page hears that the connection stands.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long what was read from disk, and a page without news, count.
const KEPT: Duration = Duration::from_secs(60);

/// What a page may do: nothing but what this server gives it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Certificates as they were read: when, after how many deliveries, and what was found.
type Read = Option<(Instant, u64, Arc<[Held]>)>;

struct Shared {
    board: Board,
    snapshots: Snapshots,
    access: Access,
    live_pages: Arc<Semaphore>,
    certificates: Mutex<Read>,
    /// The board's version and the text of the page that shows it.
    rendered: Mutex<Option<(u64, Instant, Arc<str>)>>,
}

/// As [`super::serve`]; `header_timeout` is [`HEADER_TIMEOUT`], except in tests.
pub(super) async fn serve(listen: &Listen, board: Board, snapshots: Snapshots, header_timeout: Duration) -> Result<Serving> {
    listen.check()?;
    let failed = |error: std::io::Error| {
        Error::config(format!("`--listen {}`: {error}", listen.address))
            .with_hint(t!("another program may listen there, or this machine does not have the address; choose another port"))
            .with_source(error)
    };
    let listener = TcpListener::bind(listen.address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shared = Arc::new(Shared {
        board,
        snapshots,
        access: Access::new(listen),
        live_pages: Arc::new(Semaphore::new(LIVE_PAGES)),
        certificates: Mutex::default(),
        rendered: Mutex::default(),
    });
    let open = Router::new().route("/healthz", get(healthy)).route("/readyz", get(ready));
    let closed = Router::new()
        .route("/", get(whole_page))
        .route("/live", get(live_part))
        .route("/events", get(events))
        .route("/metrics", get(all_metrics))
        .route("/page.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE) }))
        .route("/page.js", get(|| async { ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], page::SCRIPT) }))
        .route("/icon.svg", get(|| async { ([(header::CONTENT_TYPE, "image/svg+xml")], page::ICON) }))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), with_token));
    let router = open
        .merge(closed)
        .fallback(|| async { (StatusCode::NOT_FOUND, t!("there is nothing here; try / or /metrics\n")) })
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), by_our_name))
        .with_state(shared);
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, router, header_timeout));
    Ok(Serving { address, _tasks: tasks })
}

async fn accept(listener: TcpListener, router: Router, header_timeout: Duration) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                // Without room the connection is closed by being dropped.
                if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
                    connections.spawn(connection(stream, router.clone(), header_timeout, permit));
                }
            }
            // Out of file descriptors, most likely: others must end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, header_timeout: Duration, _room: OwnedSemaphorePermit) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    // What goes wrong with one reader concerns nobody else.
    let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

/// Refuses those who came by a foreign name, and puts the protecting headers on every answer.
async fn by_our_name(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = if shared.access.came_by_our_name(request.headers()) {
        next.run(request).await
    } else {
        let why = t!("this name does not lead here; `--listen-host NAME` adds it\n");
        (StatusCode::MISDIRECTED_REQUEST, why).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn with_token(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.access.shows_token(request.headers()) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"dv-verify: any name, the token as password\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, challenge, t!("the token is wrong or missing\n")).into_response()
}

async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    // Why is for those who have the token.
    match shared.board.state().not_ready {
        None => "ready\n".into_response(),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, t!("not ready\n")).into_response(),
    }
}

async fn all_metrics(State(shared): State<Arc<Shared>>) -> Response {
    let certificates = shared.certificates().await;
    let calls = (shared.snapshots.calls)();
    let text = metrics::text(&shared.board.state(), &calls, &certificates, Timestamp::now());
    ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response()
}

const HTML: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];

async fn whole_page(State(shared): State<Arc<Shared>>) -> Response {
    let part = shared.rendered().await;
    (HTML, page::whole(&part)).into_response()
}

async fn live_part(State(shared): State<Arc<Shared>>) -> Response {
    (HTML, shared.rendered().await.to_string()).into_response()
}

async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(permit) = Arc::clone(&shared.live_pages).try_acquire_owned() else {
        let headers = [(header::RETRY_AFTER, "60")];
        return (StatusCode::SERVICE_UNAVAILABLE, headers, t!("too many live pages\n")).into_response();
    };
    let versions = shared.board.versions();
    let messages = stream::unfold((versions, shared, permit), |(mut versions, shared, permit)| async move {
        versions.changed().await.ok()?;
        let orders = shared.board.state().orders.len().min(page::SHOWN_ORDERS);
        tokio::time::sleep(LEAST_PAUSE + PAUSE_PER_ORDER * u32::try_from(orders).unwrap_or_default()).await;
        let version = *versions.borrow_and_update();
        let message = Event::default().data(version.to_string());
        Some((Ok::<_, Infallible>(message), (versions, shared, permit)))
    });
    Sse::new(messages).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

impl Shared {
    /// The certificates on disk, read at most once a minute, and after a delivery.
    async fn certificates(&self) -> Arc<[Held]> {
        let deliveries = self.board.state().deliveries;
        let known = locked(&self.certificates).clone();
        if let Some((_, _, held)) = known.filter(|(at, then, _)| at.elapsed() < KEPT && *then == deliveries) {
            return held;
        }
        let read = Arc::clone(&self.snapshots.certificates);
        let held: Arc<[Held]> = tokio::task::spawn_blocking(move || read()).await.unwrap_or_default().into();
        *locked(&self.certificates) = Some((Instant::now(), deliveries, Arc::clone(&held)));
        held
    }

    /// The live part of the page, made once for each version of the board.
    async fn rendered(&self) -> Arc<str> {
        let version = *self.board.versions().borrow();
        let known = locked(&self.rendered).clone();
        if let Some((_, _, text)) = known.filter(|(of, at, _)| *of == version && at.elapsed() < KEPT) {
            return text;
        }
        let certificates = self.certificates().await;
        // A copy, so that no event has to wait for the page.
        let state = self.board.state().clone();
        let text: Arc<str> = page::live(&state, &certificates, Timestamp::now()).into();
        *locked(&self.rendered) = Some((version, Instant::now(), Arc::clone(&text)));
        text
    }
}
