//! The paths and what they answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::events;
use super::metrics::open_metrics;
use super::ready::Readiness;
use super::sagas::{self, SagaPaths};
use super::source::Source;
use super::threads;
use crate::config::Secret;
use crate::status::told;
use crate::wire_up::EventIntake;

pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What there is, for people who look.
pub(super) const PATHS: &str = "/healthz, /readyz, /metrics, /v1/status, /v1/parked, /v1/threads/PIPELINE, POST /v1/events/TOPIC";

/// All paths. With a token, every path but `/healthz` and `/readyz` answers 401 without `Authorization: Bearer TOKEN`.
/// `sagas` are those that this process drives.
pub fn service(
    source: Arc<dyn Source>,
    intake: EventIntake,
    sagas: Option<Arc<SagaPaths>>,
    token: Option<Secret>,
) -> Router {
    let asked = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/parked", get(parked));
    let threads = guarded(threads::paths(source.clone()), token.clone());
    let taken = guarded(events::paths(intake), token.clone());
    let own = sagas
        .clone()
        .map(|sagas| guarded(sagas::paths(sagas), token.clone()));
    let paths = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(guarded(asked, token))
        .fallback(nothing)
        .with_state(Served {
            source,
            sagas,
            ready: Arc::default(),
        })
        .merge(threads)
        .merge(taken);
    let paths = match own {
        Some(own) => paths.merge(own),
        None => paths,
    };
    paths.layer(middleware::from_fn(refuse_other_sites))
}

/// These paths, asking for the token if there is one.
pub(super) fn guarded<S>(paths: Router<S>, token: Option<Secret>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    match token {
        Some(token) => paths.layer(middleware::from_fn_with_state(Arc::new(token), ask_token)),
        None => paths,
    }
}

/// What the handlers share.
#[derive(Clone)]
struct Served {
    source: Arc<dyn Source>,
    sagas: Option<Arc<SagaPaths>>,
    ready: Arc<Mutex<Readiness>>,
}

type From = Shared<Served>;

pub(super) async fn healthz() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let pid = std::process::id();
    Json(json!({"ok": true, "service": "keylane", "version": version, "pid": pid})).into_response()
}

async fn readyz(Shared(served): From) -> Response {
    let asked = Instant::now();
    let views = served.source.status().await;
    let looked = asked..Instant::now();
    let mut ready = served.ready.lock().unwrap_or_else(PoisonError::into_inner);
    let mut not_ready: Vec<_> = views
        .iter()
        .filter(|view| !ready.is_ready(view, &looked))
        .map(|view| json!({"name": view.name, "state": view.state, "why": view.why}))
        .collect();
    let trouble = served.sagas.as_ref().and_then(|sagas| sagas.trouble());
    not_ready.extend(trouble.map(|why| json!({"name": "sagas", "state": "degraded", "why": why})));
    drop(ready);
    let code = match not_ready.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({"ready": not_ready.is_empty(), "not_ready": not_ready});
    (code, Json(body)).into_response()
}

async fn metrics(Shared(served): From) -> Response {
    let source = &served.source;
    let asked = tokio::join!(source.status(), source.channels(), source.compared());
    let mut text = match &served.sagas {
        Some(sagas) => sagas.metrics().await,
        None => String::new(),
    };
    text.push_str(&open_metrics(&asked.0, &asked.1, &asked.2));
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}

async fn status(Shared(served): From) -> Response {
    let (views, channels) = tokio::join!(served.source.status(), served.source.channels());
    Json(told(&views, &channels)).into_response()
}

async fn parked(Shared(served): From) -> Response {
    match served.source.parked().await {
        Ok(parked) => Json(parked).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": why}))).into_response(),
    }
}

async fn nothing(Shared(served): From) -> Response {
    let more = served.sagas.as_ref().map_or("", |_| sagas::PATHS);
    let body = json!({"error": format!("nothing here; there are {PATHS}{more}")});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

/// What changes something is not taken from another site's page in the browser of somebody who may reach this. Browsers say whose page asks, programs say nothing.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_of_own_site(request.headers()) {
        return next.run(request).await;
    }
    let body = json!({"error": "asked by a page of another site (Origin)"});
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}

fn is_of_own_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    match headers.contains_key(header::ORIGIN) {
        true => site.is_some_and(|(_, site)| Some(site) == text(header::HOST)),
        false => true,
    }
}

async fn ask_token(Shared(token): Shared<Arc<Secret>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, given)| given.trim());
    if given.is_some_and(|given| same(given, token.expose())) {
        return next.run(request).await;
    }
    let body = json!({"error": "send the token (http.auth_token, KEYLANE_AUTH_TOKEN) as 'Authorization: Bearer TOKEN'"});
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, Json(body)).into_response()
}

/// Compares in a time that does not tell where the texts differ.
fn same(given: &str, token: &str) -> bool {
    let differing = given
        .bytes()
        .zip(token.bytes())
        .fold(0, |differing, (one, other)| differing | (one ^ other));
    given.len() == token.len() && std::hint::black_box(differing) == 0
}
