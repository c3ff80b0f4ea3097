//! What operators and their scripts come in by: pages for people, JSON under `/api/v1` for scripts.
//!
//! ```text
//! socket ─► listen ─► auth (who, and from where) ─► may (role, token) ─► handler ─► page, answer or problem
//!                                                                         │ may (this alert)
//!                                                                         └─► desk (log) ─► durable ─► answer
//! ```
//!
//! There are two tables of routes, [`api::routes`] and [`console::routes`]: the router, the description ([`api::describe`]) and the
//! tests that try every route as every role are made from them. A handler is a plain function over what was asked; it runs
//! where it may block. A page is made from what the handlers of the API give.

pub mod api;
mod ask;
mod auth;
pub mod console;
mod doors;
mod events;
mod form;
mod listen;
mod problem;
mod route;
mod turns;
mod uploads;
mod visits;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use crate::admin::Desk;
use crate::config::ConsoleConfig;
use crate::my_data::rules::Shelf;
use crate::operators::session::{Browsers, Sessions};
use crate::operators::throttle::Throttle;
use crate::policies;
use crate::rulebook::Rulebook;
use ask::{Ask, Heard};
use auth::Refusals;
use listen::PeerAddress;
use problem::{Kind, Problem};
use route::Does;
use turns::Turns;
use uploads::Uploads;
use visits::Visits;

pub use auth::{CSRF_HEADER, KNOWN_COOKIE, SESSION_COOKIE, SESSION_COOKIE_PLAIN};
pub use route::Route;
pub use visits::{VISIT_COOKIE, VISIT_COOKIE_PLAIN};

/// Where what scripts ask for lies.
pub const BASE: &str = "/api/v1";
/// Longest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request may take to come in, and then to be answered.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// The key by which browsers are recognised, in the data folder.
const BROWSERS: &str = "browsers.key";

/// Everything requests are answered from.
#[derive(Debug)]
pub struct Site {
    desk: Arc<Desk>,
    /// Cookies go over TLS alone.
    is_secure: bool,
    sessions: Mutex<Sessions>,
    browsers: Browsers,
    throttle: Mutex<Throttle>,
    refusals: Mutex<Refusals>,
    /// The step of the last one-time code each operator came in with.
    codes: Mutex<HashMap<String, i64>>,
    /// What rules say.
    rulebook: Mutex<Rulebook>,
    turns: Turns,
    /// Employees who look at what is about them, and whoever reads for one of them.
    visits: Mutex<Visits>,
    reading: Mutex<()>,
    /// The rules employees are told of.
    rules: Mutex<Shelf>,
    listeners: AtomicUsize,
    /// Policies in force, compiled.
    in_force: policies::in_force::Kept,
    uploads: Uploads,
    stopping: watch::Receiver<bool>,
}

impl Site {
    fn now_ms(&self) -> i64 {
        self.desk.clock.now_ms()
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens, and answers until the collector stops; returns where.
///
/// # Errors
/// The address is taken, or the certificate cannot be used.
pub async fn start(
    config: &ConsoleConfig,
    desk: Arc<Desk>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<SocketAddr> {
    let tls = listen::tls(config, &desk.config, &desk.clock)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let site = Arc::new(Site {
        is_secure: tls.is_some(),
        sessions: Mutex::default(),
        browsers: Browsers::kept(&desk.config.data_dir.join(BROWSERS))?,
        throttle: Mutex::default(),
        refusals: Mutex::default(),
        codes: Mutex::default(),
        rulebook: Mutex::default(),
        turns: Turns::default(),
        visits: Mutex::default(),
        reading: Mutex::default(),
        rules: Mutex::default(),
        listeners: AtomicUsize::new(0),
        in_force: policies::in_force::Kept::default(),
        uploads: Uploads::default(),
        stopping: stopping.clone(),
        desk,
    });
    info!(%address, tls = site.is_secure, "operators are served");
    tokio::spawn(listen::serve(listener, tls, router(&site), stopping));
    Ok(address)
}

fn router(site: &Arc<Site>) -> Router {
    let mut router = Router::new();
    let scripts = api::routes().into_iter().map(|route| (BASE, route));
    let people = console::routes().into_iter().map(|route| ("", route));
    for (base, route) in scripts.chain(people) {
        let (site, path) = (Arc::clone(site), format!("{base}{}", route.path));
        let Ok(method) = MethodFilter::try_from(route.method.clone()) else { continue };
        let route = Arc::new(route);
        let answer = move |params: Result<RawPathParams, RawPathParamsRejection>, request: Request<Body>| async move {
            let visitor =
                route.is_page.then(|| console::Visitor::of(request.method(), request.uri(), request.headers()));
            let answered = answer(&site, &route, params, request).await;
            let response = answered.unwrap_or_else(|problem| match visitor {
                Some(visitor) => visitor.told(problem),
                None => problem.into_response(),
            });
            auth::harden(response, site.is_secure)
        };
        router = router.route(&path, on(method, answer));
    }
    let is_secure = site.is_secure;
    let nowhere = async move |request: Request<Body>| auth::harden(nothing_here(&request), is_secure);
    router.fallback(nowhere).method_not_allowed_fallback(async move || {
        let told = Problem::new(Kind::NotFound).because("there is something at this address, but not with this method");
        auth::harden(told.into_response(), is_secure)
    })
}

fn nothing_here(request: &Request<Body>) -> Response {
    let problem = Problem::new(Kind::NotFound);
    if request.uri().path().starts_with(BASE) {
        return problem.into_response();
    }
    console::Visitor::of(request.method(), request.uri(), request.headers()).told(problem)
}

async fn answer(
    site: &Arc<Site>,
    route: &Arc<Route>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_PATIENCE, to_bytes(body, route.bytes_max)).await;
    let body = body.map_err(|_| Problem::new(Kind::TooSlow))?.map_err(|_| Problem::new(Kind::TooLarge))?;
    let (body, files) = form::unpack(&parts.headers, body).await?;
    let params = params.map_err(|_| Problem::new(Kind::NotFound))?;
    let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let address = parts.extensions.get::<PeerAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
    let heard = Heard { parts, body, files, params, address };
    if matches!(route.does, Does::Listen) {
        return events::listen(site, route, heard).await;
    }
    let turn = site.turns.take(auth::says(site, &heard).as_deref(), route.is_costly).await?;
    let (site, route) = (Arc::clone(site), Arc::clone(route));
    // Whoever is not waited for any longer still has their turn.
    let answered = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        answer_now(&site, &route, heard)
    });
    let answered = tokio::time::timeout(ANSWER_PATIENCE, answered).await.map_err(|_| Problem::new(Kind::Busy))?;
    answered.map_err(|_| Problem::new(Kind::Broken))?
}

fn answer_now(site: &Site, route: &Route, heard: Heard) -> Result<Response, Problem> {
    let ask = Ask::new(site, route, heard)?;
    match &route.does {
        Does::Answer(handler) => match handler(&ask) {
            Err(problem) if route.is_page => Ok(console::told(&ask, problem)),
            answered => answered.map(|body| ask.respond(body)),
        },
        Does::Listen => Err(Problem::new(Kind::Broken)),
    }
}
