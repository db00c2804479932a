//! `/v1/threads/PIPELINE`: what `keylane threads` tells and asks for.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use keylane_core::apply::Threads;
use serde_json::{Value, json};

use super::source::Source;

type From = State<Arc<dyn Source>>;

pub(super) fn paths(source: Arc<dyn Source>) -> Router {
    let told = get(tell).put(ask);
    Router::new()
        .route("/v1/threads/{pipeline}", told)
        .with_state(source)
}

async fn tell(State(source): From, Path(pipeline): Path<String>) -> Response {
    answer(&*source, &pipeline, None).await
}

/// Takes `{"threads": 8}` or `{"threads": "auto"}`.
async fn ask(State(source): From, Path(pipeline): Path<String>, body: Bytes) -> Response {
    match read(&body) {
        Ok(threads) => answer(&*source, &pipeline, Some(threads)).await,
        Err(why) => refusal(StatusCode::BAD_REQUEST, &why),
    }
}

fn read(body: &[u8]) -> Result<Threads, String> {
    let asked: Option<Value> = serde_json::from_slice(body).ok();
    let threads = match asked.as_ref().and_then(|asked| asked.get("threads")) {
        Some(Value::String(text)) => text.parse(),
        Some(Value::Number(number)) => number.to_string().parse(),
        _ => "".parse(),
    };
    threads.map_err(|wanted| format!("send {{\"threads\": N}}, N being {wanted}"))
}

/// 202 as long as an applier that runs has not taken it up.
async fn answer(source: &dyn Source, pipeline: &str, ask: Option<Threads>) -> Response {
    match source.threads(pipeline, ask).await {
        Ok(Some(view)) if view.taken_up => Json(view).into_response(),
        Ok(Some(view)) => (StatusCode::ACCEPTED, Json(view)).into_response(),
        Ok(None) => refusal(
            StatusCode::NOT_FOUND,
            &format!(
                "there is no pipeline {pipeline} with a replica; /v1/status names the pipelines"
            ),
        ),
        Err(why) => refusal(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

fn refusal(code: StatusCode, why: &str) -> Response {
    (code, Json(json!({"error": why}))).into_response()
}
