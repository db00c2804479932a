//! Health, metrics and the same JSON as the commands', over HTTP on `http.listen`, by the process that runs the pipelines.
//!
//! - `/healthz`: 200 as long as the process answers; `/readyz`: 200 if every pipeline does its work and has caught up, else 503 with the reasons. Neither
//!   asks for the token.
//! - `/metrics`: OpenMetrics text; `/v1/status`, `/v1/parked`: what `keylane status` and `keylane parked list` print with `--format json`.
//!
//! `keylane consume --listen` serves the first three of its consumer alone.
//!
//! - `/v1/threads/PIPELINE`: what `keylane threads` tells, and with PUT what it asks for.
//! - `POST /v1/events/TOPIC`: takes an event into the outbox of a pipeline with `outbox.accept`.
//! - `/v1/sagas`: sagas are begun, listed, shown and asked things of, by a process that drives them.
//!
//! All the rest is read-only.

mod source;
pub use source::{Answer, Source};

mod metrics;
pub use metrics::open_metrics;

mod metrics_compared;

mod ready;

mod events;

mod saga_metrics;

mod sagas;
pub use sagas::SagaPaths;

mod threads;

mod service;
pub use service::service;

mod listen;
pub use listen::{Holder, serve};

mod consumer;
pub use consumer::serve_consumer;
