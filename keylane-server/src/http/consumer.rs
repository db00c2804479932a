//! Health and metrics of one consumer: `keylane consume --listen`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use keylane::consumer::{ConsumerStats, Health};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::service::{OPEN_METRICS, guarded, healthz};
use crate::config::{Secret, TOKEN_CHARS_MIN};
use crate::exit_code::{Exit, Failure};

/// Where the token is, which a command line must not show.
const TOKEN: &str = "KEYLANE_AUTH_TOKEN";
/// The longest part of a key that becomes a label, in characters.
const KEY_CHARS_MAX: usize = 64;

#[derive(Clone)]
struct Served {
    group: Arc<str>,
    stats: Arc<ConsumerStats>,
}

/// Serves a consumer's health and metrics until `stop`, in a task of its own. Returns once the address is taken.
///
/// # Errors
/// If the address can be reached by others and no token protects it; KL-HTTP-001 if it cannot be taken.
pub async fn serve_consumer(
    address: SocketAddr,
    stats: Arc<ConsumerStats>,
    group: &str,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>, Failure> {
    let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    if token
        .as_ref()
        .is_some_and(|token| token.chars().count() < TOKEN_CHARS_MIN)
    {
        let words =
            format!("{TOKEN}: the token is too short, use at least {TOKEN_CHARS_MIN} characters");
        return Err(Failure::new(Exit::Usage, words));
    }
    if token.is_none() && !address.ip().is_loopback() {
        let words = format!(
            "--listen: {address} can be reached by others, and no token protects it: set {TOKEN}, or listen on 127.0.0.1"
        );
        return Err(Failure::new(Exit::Usage, words));
    }
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let words = format!("KL-HTTP-001: the HTTP service cannot take {address}: {error}. Give --listen a free address");
        Failure::new(Exit::Error, words)
    })?;
    let listen = listener.local_addr().unwrap_or(address);
    info!("http://{listen}: /healthz /readyz /metrics");
    let router = service(
        Served {
            group: group.into(),
            stats,
        },
        token.map(Secret::new),
    );
    let stopped = stop.clone();
    Ok(tokio::spawn(async move {
        let serving = axum::serve(listener, router);
        let serving = serving.with_graceful_shutdown(stopped.clone().cancelled_owned());
        tokio::select! {
            ended = serving => if let Err(error) = ended {
                warn!("the HTTP service ended: {error}");
            },
            () = super::listen::late(stopped) => {}
        }
    }))
}

fn service(served: Served, token: Option<Secret>) -> Router {
    let asked = Router::new().route("/metrics", get(metrics));
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(guarded(asked, token))
        .with_state(served)
}

/// 200 once the group has spoken, as long as nothing is in the way.
async fn readyz(Shared(served): Shared<Served>) -> Response {
    let why = match served.stats.health() {
        Health::Troubled(why) => Some(why),
        Health::Well | Health::Paused if served.stats.is_member() => None,
        Health::Well | Health::Paused => Some("the group has not answered yet".to_owned()),
    };
    let code = match why {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(json!({"ready": why.is_none(), "why": why}))).into_response()
}

async fn metrics(Shared(served): Shared<Served>) -> Response {
    let text = open_metrics(&served.group, &served.stats);
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    group: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKey {
    group: String,
    key: String,
}

type Read = fn(&ConsumerStats) -> u64;

const COUNTERS: &[(&str, &str, Read)] = &[
    ("handled", "Records whose handler succeeded", |it| {
        it.handled.get()
    }),
    ("failed_attempts", "Attempts that failed", |it| {
        it.failed.get()
    }),
    (
        "timed_out_attempts",
        "Attempts that took longer than they may",
        |it| it.timed_out.get(),
    ),
    (
        "batches_apart",
        "Batches that failed and were tried record by record",
        |it| it.batches_apart.get(),
    ),
    (
        "dead_letters",
        "Records that went to the dead-letter topic",
        |it| it.dead_lettered.get(),
    ),
    (
        "skipped",
        "Records that were given up without a dead letter",
        |it| it.skipped.get(),
    ),
    (
        "replays_skipped",
        "Records that came again and had been done",
        |it| it.replays_skipped.get(),
    ),
    (
        "fenced",
        "Partitions in which another owner was found",
        |it| it.fenced.get(),
    ),
];

const GAUGES: &[(&str, Option<Unit>, &str, Read)] = &[
    ("working", None, "Handlers in progress", |it| {
        it.working.get()
    }),
    ("held", None, "Records fetched and not done", |it| {
        it.held.get()
    }),
    (
        "held",
        Some(Unit::Bytes),
        "Bytes fetched and not done",
        |it| it.held_bytes.get(),
    ),
    (
        "partitions",
        None,
        "Partitions that this process has",
        |it| it.partitions.get(),
    ),
    (
        "map_left_out",
        None,
        "Done records that did not fit into the last commit",
        |it| it.map_left_out.get(),
    ),
];

type Float = Gauge<f64, AtomicU64>;

fn open_metrics(group: &str, stats: &ConsumerStats) -> String {
    let mut registry = Registry::with_prefix("keylane_consumer");
    let of = || Of {
        group: group.to_owned(),
    };
    for (name, help, read) in COUNTERS {
        let family = Family::<Of, Counter>::default();
        family.get_or_create(&of()).inc_by(read(stats));
        registry.register(*name, *help, family);
    }
    for (name, unit, help, read) in GAUGES {
        let family = Family::<Of, Gauge>::default();
        let value = i64::try_from(read(stats)).unwrap_or(i64::MAX);
        family.get_or_create(&of()).set(value);
        match unit {
            Some(unit) => registry.register_with_unit(*name, *help, unit.clone(), family),
            None => registry.register(*name, *help, family),
        }
    }
    let times = [
        (
            "oldest_handler",
            "The age of the handler in progress longest",
            stats.oldest_ms.get() as f64 / 1e3,
        ),
        (
            "service",
            "How long a handler takes, a moving mean",
            stats.service_us.get() as f64 / 1e6,
        ),
    ];
    for (name, help, seconds) in times {
        let family = Family::<Of, Float>::default();
        family.get_or_create(&of()).set(seconds);
        registry.register_with_unit(name, help, Unit::Seconds, family);
    }
    register_hot_keys(&mut registry, group, stats);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing into a string does not fail");
    text
}

fn register_hot_keys(registry: &mut Registry, group: &str, stats: &ConsumerStats) {
    let (shares, bounds) = (
        Family::<OfKey, Float>::default(),
        Family::<OfKey, Float>::default(),
    );
    for hot in stats.hot_keys() {
        let key = String::from_utf8_lossy(&hot.key)
            .chars()
            .take(KEY_CHARS_MAX)
            .collect();
        let of = OfKey {
            group: group.to_owned(),
            key,
        };
        shares.get_or_create(&of).set(hot.share);
        if let Some(most) = hot.records_per_second_max {
            bounds.get_or_create(&of).set(most);
        }
    }
    registry.register(
        "hot_key_share",
        "The hottest keys' shares of the records that came of late",
        shares,
    );
    registry.register(
        "hot_key_records_per_second_max",
        "How many records a second, of all keys together, a hot key allows",
        bounds,
    );
}
