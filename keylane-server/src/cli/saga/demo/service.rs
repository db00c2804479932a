//! A service as a process of its own: it answers the orchestrator over HTTP and hears the others' events.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::participant::{SqliteParticipant, follow, respond};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::travel::{ORDERS, Service};
use crate::cli::runtime;
use crate::exit_code::{Exit, Failure};
use crate::shutdown;

/// Where the demo's log is.
pub(super) const LOG: &str = ".keylane/log.db";

/// Serves until told to stop.
///
/// # Errors
/// If its file, the log or its port cannot be used.
pub fn serve(service: Service, folder: &Path, port: u16) -> Result<Exit, Failure> {
    let cannot = |why: String| {
        let name = service.name();
        Failure::new(
            Exit::Error,
            format!("the {name} service cannot go on: {why}"),
        )
    };
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone())?;
        let participant = service.participant(folder).await.map_err(cannot)?;
        let choreography = service.choreography(folder).await.map_err(cannot)?;
        let mut options = EmbeddedOptions::at(folder.join(LOG));
        options.with_headers = true;
        let log = EmbeddedLog::open(options).await;
        let log = log.map_err(|error| cannot(error.to_string()))?;
        let others = Service::ALL.into_iter().filter(|other| *other != service);
        let topics: Vec<Arc<str>> = others
            .map(|other| Arc::from(other.topic()))
            .chain([Arc::from(ORDERS)])
            .collect();
        let answering = answer(participant, port, stop.clone());
        let hearing = follow(&choreography, &log, &topics, stop.clone());
        tokio::try_join!(answering, hearing).map_err(cannot)?;
        Ok(Exit::Ok)
    })
}

/// Answers commands at a port of this machine.
async fn answer(
    participant: SqliteParticipant,
    port: u16,
    stop: CancellationToken,
) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("{address}: {error}"))?;
    let router = Router::new()
        .fallback(command)
        .with_state(Arc::new(participant));
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    serving.await.map_err(|error| error.to_string())
}

async fn command(
    State(participant): State<Arc<SqliteParticipant>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let answer = respond(&*participant, headers, &body).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
