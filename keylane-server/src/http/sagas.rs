//! Sagas over HTTP: they are begun, listed, shown and asked things of, and participants post what they answer later. The JSON is that of the commands.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use keylane::saga::orchestrator::{Door, NotAsked, NotBegun, Plans, SagaRequest};
use keylane::saga::tracker::TrackerStats;
use keylane::workers::stats::now_us;
use keylane_core::saga::wire::{AnswerMessage, Attributes, BODY_BYTES_MAX};
use keylane_core::saga::{
    Filter, KEY_BYTES_MAX, Operation, ParkedAnswer, REASON_CHARACTERS_MAX, SagaDesk, SagaStore,
    StoreError,
};
use serde_json::{Value, json};

use super::saga_metrics;
use crate::saga::{LIST_MAX, before_us, list_wire, shown_wire, states, tracked_wire};
use crate::wire_up::{Driving, Sagas, Tracks};

/// What is asked of sagas over HTTP is asked here.
pub struct SagaPaths {
    door: Door,
    store: Arc<dyn SagaStore>,
    desk: Arc<dyn SagaDesk>,
    plans: Arc<Plans>,
    tracks: Tracks,
    driving: Driving,
}

/// The paths, for the message about others.
pub(super) const PATHS: &str = ", /v1/sagas";

impl SagaPaths {
    /// Of sagas and who drives and follows them.
    pub fn new(sagas: &Sagas, driving: Driving) -> Arc<Self> {
        Arc::new(SagaPaths {
            door: driving.orchestrator.door(),
            store: sagas.store.clone(),
            desk: sagas.desk.clone(),
            plans: sagas.plans.clone(),
            tracks: sagas.tracks.clone(),
            driving,
        })
    }

    /// Their figures, as text of metrics without its end.
    pub(super) async fn metrics(&self) -> String {
        let figures = self.desk.figures().await.ok();
        saga_metrics::open_metrics(
            figures.as_ref(),
            &self.driving.orchestrator.stats(),
            &self.driving.orchestrator.participants(),
            self.tracker_stats().as_deref(),
        )
    }

    fn tracker_stats(&self) -> Option<Arc<TrackerStats>> {
        self.driving.tracker.as_ref().map(|it| it.stats())
    }

    /// Why sagas are not driven, or not followed, if they are not.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.driving.orchestrator.stats().trouble();
        trouble.or_else(|| self.tracker_stats()?.trouble())
    }
}

type From = Shared<Arc<SagaPaths>>;

/// The paths.
pub(super) fn paths(sagas: Arc<SagaPaths>) -> Router {
    Router::new()
        .route("/v1/sagas", post(begin).get(list))
        .route("/v1/sagas/{id}", get(show))
        .route("/v1/sagas/{id}/replies", post(hear))
        .route("/v1/sagas/{id}/{verb}", post(ask))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX + (64 << 10)))
        .with_state(sagas)
}

fn told(status: StatusCode, why: impl std::fmt::Display) -> Response {
    (status, Json(json!({"error": why.to_string()}))).into_response()
}

fn bad(why: impl std::fmt::Display) -> Response {
    told(StatusCode::BAD_REQUEST, why)
}

fn away(error: &StoreError) -> Response {
    told(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("KL-SAGA-201: {error}"),
    )
}

/// A text of a header.
fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, String> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(format!("{name} is no text")),
    }
}

fn object(body: &[u8]) -> Result<serde_json::Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("the body is no JSON object".to_owned()),
        Err(why) => Err(format!("the body is no JSON: {why}")),
    }
}

/// Takes a text out of a body.
fn text(
    members: &mut serde_json::Map<String, Value>,
    name: &str,
) -> Result<Option<String>, String> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is a text")),
    }
}

/// Whatever is left in a body was not meant as it is understood.
fn nothing_left(members: &serde_json::Map<String, Value>, known: &str) -> Result<(), String> {
    match members.keys().next() {
        None => Ok(()),
        Some(name) => Err(format!("{name:?} is unknown here; there are {known}")),
    }
}

fn request(headers: &HeaderMap, body: &[u8]) -> Result<SagaRequest, String> {
    let mut members = object(body)?;
    let definition = text(&mut members, "definition")?.ok_or("definition is missing")?;
    let version = match members.remove("version") {
        None | Some(Value::Null) => None,
        Some(version) => Some(
            version
                .as_u64()
                .and_then(|it| u32::try_from(it).ok())
                .ok_or("version is a whole number")?,
        ),
    };
    let in_body = text(&mut members, "key")?;
    let in_header = header_text(headers, "idempotency-key")?.map(str::to_owned);
    let key = match (in_body, in_header) {
        (Some(one), Some(other)) if one != other => {
            return Err(
                "key and Idempotency-Key are the same, or one of them is left out".to_owned(),
            );
        }
        (one, other) => one.or(other),
    };
    let data = members.remove("data").unwrap_or(Value::Null);
    nothing_left(&members, "definition, version, key, data")?;
    Ok(SagaRequest {
        definition,
        version,
        key,
        data,
    })
}

async fn begin(Shared(sagas): From, headers: HeaderMap, body: Bytes) -> Response {
    let request = match request(&headers, &body) {
        Ok(request) => request,
        Err(why) => return bad(why),
    };
    if request.plan(&sagas.plans).is_err()
        && let Err(error) = sagas.plans.refresh(sagas.store.as_ref()).await
    {
        return away(&error);
    }
    let plan = match request.plan(&sagas.plans) {
        Ok(plan) => plan,
        Err(why) => return told(StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    let (number, definition) = (request.number(), request.definition.clone());
    match sagas.door.begin(plan, request.start(), number).await {
        Ok(begun) => {
            let location = [(header::LOCATION, format!("/v1/sagas/{}", begun.id))];
            let answer = json!({"id": begun.id, "definition": definition});
            (StatusCode::ACCEPTED, location, Json(answer)).into_response()
        }
        Err(why @ NotBegun::OtherContent { .. }) => told(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("KL-SAGA-204: {why}"),
        ),
        Err(NotBegun::Unfit(why)) => bad(why),
        Err(NotBegun::Store(error)) => away(&error),
        Err(why @ NotBegun::Stopping) => told(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn filter(query: Option<&str>) -> Result<Filter, String> {
    let mut filter = Filter {
        limit: 100,
        ..Filter::default()
    };
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let value = value.into_owned();
        match &*name {
            "state" => filter.states = states(&value)?,
            "definition" => filter.definition = Some(value),
            "step" => filter.step = Some(value),
            "key" => filter.key = Some(value),
            "older" => {
                let older: Duration = humantime::parse_duration(&value)
                    .map_err(|why| format!("older is a duration such as 10m: {why}"))?;
                filter.started_before_us = Some(before_us(older));
            }
            "behind" => filter.behind = Some(value),
            "limit" => {
                filter.limit = value
                    .parse()
                    .ok()
                    .filter(|it| (1..=LIST_MAX).contains(it))
                    .ok_or(format!("limit is a number from 1 to {LIST_MAX}"))?;
            }
            _ => {
                return Err(format!(
                    "{name:?} is unknown here; there are state, definition, step, key, older, behind, limit"
                ));
            }
        }
    }
    Ok(filter)
}

async fn list(Shared(sagas): From, RawQuery(query): RawQuery) -> Response {
    let filter = match filter(query.as_deref()) {
        Ok(filter) => filter,
        Err(why) => return bad(why),
    };
    let listed = async {
        let listed = sagas.desk.list(&filter).await?;
        list_wire(&*sagas.desk, &*sagas.tracks.store, &listed).await
    };
    match listed.await {
        Ok(wire) => Json(wire).into_response(),
        Err(error) => away(&error),
    }
}

async fn show(Shared(sagas): From, Path(id): Path<String>) -> Response {
    let shown = match sagas.desk.show(&id).await {
        Ok(Some(shown)) => shown,
        Ok(None) => return show_tracked(&sagas, id).await,
        Err(error) => return away(&error),
    };
    if sagas.plans.of_hash(shown.saga.hash).is_none()
        && let Err(error) = sagas.plans.refresh(sagas.store.as_ref()).await
    {
        return away(&error);
    }
    match sagas.plans.of_hash(shown.saga.hash) {
        Some(plan) => Json(shown_wire(&shown, &plan)).into_response(),
        None => told(
            StatusCode::INTERNAL_SERVER_ERROR,
            "KL-SAGA-203: its definition is not kept",
        ),
    }
}

/// One that nobody drives.
async fn show_tracked(sagas: &SagaPaths, id: String) -> Response {
    match sagas.tracks.store.tracked(&id).await {
        Ok(Some(tracked)) => Json(tracked_wire(&tracked, &sagas.tracks.known)).into_response(),
        Ok(None) => told(StatusCode::NOT_FOUND, NotAsked::Unknown(id)),
        Err(error) => away(&error),
    }
}

/// What is asked for, by whom and why.
fn asked(verb: &str, body: &[u8]) -> Result<(Operation, String, String), String> {
    let mut members = object(body)?;
    let step = text(&mut members, "step")?;
    let reason = text(&mut members, "reason")?.filter(|it| !it.trim().is_empty());
    let reason = reason.ok_or("reason is missing: say why")?;
    let actor = text(&mut members, "actor")?.filter(|it| !it.trim().is_empty());
    let actor = actor.ok_or("actor is missing: say who asks for it")?;
    if actor.len() > KEY_BYTES_MAX || reason.chars().count() > REASON_CHARACTERS_MAX {
        return Err(format!(
            "actor has at most {KEY_BYTES_MAX} bytes, reason {REASON_CHARACTERS_MAX} characters"
        ));
    }
    let reply = members.remove("reply").unwrap_or(Value::Null);
    nothing_left(&members, "step, reason, actor, reply")?;
    Ok((
        Operation::asked(verb, step.as_deref(), reply)?,
        actor,
        reason,
    ))
}

async fn ask(
    Shared(sagas): From,
    Path((id, verb)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    if !Operation::VERBS.contains(&verb.as_str()) {
        let known = Operation::VERBS.join(", ");
        return told(
            StatusCode::NOT_FOUND,
            format!("nothing here; there are {known}"),
        );
    }
    let (operation, actor, reason) = match asked(&verb, &body) {
        Ok(asked) => asked,
        Err(why) => return bad(why),
    };
    let door = &sagas.door;
    let by_door = door.ask(id.clone(), operation.clone(), actor.clone(), reason.clone());
    let asked = match by_door.await {
        Err(NotAsked::Unknown(_)) => {
            let desk = &sagas.tracks.desk;
            desk.ask(&id, &operation, &actor, &reason).await
        }
        asked => asked,
    };
    match asked {
        Ok(asked) => {
            let answer = json!({"id": id, "state": asked.state.code(), "noted": asked.noted});
            Json(answer).into_response()
        }
        Err(why) => not_asked(&why),
    }
}

fn not_asked(why: &NotAsked) -> Response {
    match why {
        NotAsked::Unknown(_) => told(StatusCode::NOT_FOUND, why),
        NotAsked::Ended(_) | NotAsked::Refused(_) => {
            told(StatusCode::CONFLICT, format!("KL-SAGA-205: {why}"))
        }
        NotAsked::Store(error) => away(error),
        NotAsked::Stopping => told(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn hear(
    Shared(sagas): From,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let read = Attributes::from_http(pairs).and_then(|it| AnswerMessage::read(&it, &body));
    let message = match read {
        Ok(message) if message.saga == id => message,
        Ok(message) => return bad(format!("the answer is to saga {}", message.saga)),
        Err(why) => return bad(format!("KL-SAGA-206: {why}")),
    };
    let answer = ParkedAnswer {
        saga: message.saga,
        reply: message.reply,
        at_us: now_us(),
    };
    match sagas.door.hear(answer).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(why) => not_asked(&why),
    }
}
