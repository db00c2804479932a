//! The orchestrator: what drives sagas. The decisions are the core's; here is what happens around them.
//!
//! - `settings`: what it is told.
//! - `plans`: definitions, ready to be driven.
//! - `event`: what comes in, and who waits for what becomes of it.
//! - `inbox`: what has come in and is not decided, bounded in number and bytes.
//! - `turner`, `turn`: one batch: read, decide, write.
//! - `folding`: what several events mean for one saga.
//! - `waiter`: who waits for what becomes of a saga.
//! - `desk`: what people ask for, decided by itself: for commands beside the service.
//! - `leases`: whose sagas it drives.
//! - `dispatch`: commands on their way, participant by participant.
//! - `http`: a command as a request, and what the response says.
//! - `kafka`: commands to topics, and answers from one.
//! - `request`: what a saga is asked to be.
//! - `starts`: sagas that events begin.
//! - `run`: the loop.
//! - `stats`: figures.
//!
//! **Invariant:** a command goes out only from the outbox, in which only a commit puts it.
//! **Invariant:** what is decided under a lease is written only if the lease still stands, in the same transaction.

mod settings;
pub use settings::{Address, OrchestratorSettings, ParticipantSettings};

mod plans;
pub use plans::{PlanReader, Plans};

mod event;
pub use event::{Asked, Begun, NotAsked, NotBegun};

mod inbox;
pub use inbox::Door;

mod folding;

mod waiter;

mod turner;

mod turn;

mod desk;
pub use desk::Desk;

mod leases;

mod dispatch;
pub use dispatch::shown_name;

mod http;
pub(in crate::saga) use http::{HttpChannel, HttpRequest};

mod kafka;
pub use kafka::KafkaWay;

mod request;
pub use request::SagaRequest;

mod starts;
pub use starts::StartsWay;

mod run;
pub use run::Orchestrator;

mod stats;
pub use stats::{OrchestratorStats, ParticipantFigures};
