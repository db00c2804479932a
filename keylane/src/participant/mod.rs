//! A participant of sagas: steps of a service that are carried out once and undone once, whatever is lost, doubled, late or killed.
//!
//! For each (saga, step) the first verdict stands for ever: it is written, with the answer, in the transaction of the step's own effect. A repeat gets that answer; an undo that comes
//! before its action keeps the action from ever running. Which is which, [`keylane_core::saga::judge`] and [`keylane_core::saga::conclude`] decide; here are the transactions.
//!
//! ```no_run
//! use keylane::participant::{PostgresParticipant, PostgresSteps, StepError};
//! use serde_json::json;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let steps = PostgresSteps::default()
//!     .on("stock.reserve.v1")
//!     .action(|call, tx| {
//!         Box::pin(async move {
//!             let sku = call.input["sku"].as_str().unwrap_or_default();
//!             let sql = "UPDATE stock SET left_over = left_over - 1 WHERE sku = $1 AND left_over > 0";
//!             match tx.execute(sql, &[&sku]).await? {
//!                 0 => Err(StepError::rejected("sold out")), // for ever, for this saga
//!                 _ => Ok(json!({"sku": sku})),
//!             }
//!         })
//!     })
//!     .undo("stock.release.v1", |call, tx| {
//!         Box::pin(async move {
//!             let sku = call.reply["sku"].as_str().unwrap_or_default();
//!             tx.execute("UPDATE stock SET left_over = left_over + 1 WHERE sku = $1", &[&sku]).await?;
//!             Ok(json!(null))
//!         })
//!     });
//! let participant = PostgresParticipant::new("postgres://stock@127.0.0.1/stock", "/stock", steps);
//! participant.create_table().await?; // once
//! # Ok(())
//! # }
//! ```
//!
//! - `step`: what a step is made of, and what it is given.
//! - `barrier`: the rows in words that both databases share.
//! - `choreography`: steps that nobody drives: events set them going and undo them.
//! - `lock`: what a saga has touched is kept from others.
//! - `respond`: over HTTP, whatever serves it.
//! - `consume`: over Kafka.
//! - `follow`: events of an embedded log.

mod error;
pub use error::StepError;
pub(crate) use error::is_conflict;

mod step;
pub use step::{Call, OnType, PostgresHandler, PostgresSteps, SqliteHandler, SqliteSteps, Steps};

pub(crate) mod barrier;

mod carry;
pub use carry::CarryOut;

pub(crate) mod choreography;
pub use choreography::{Hear, Reaction, SagaEvent};

pub use crate::postgres::participant::{PostgresChoreography, PostgresParticipant};
pub use crate::sqlite::participant::{SqliteChoreography, SqliteParticipant};

mod respond;
pub use respond::{HttpAnswer, respond};

mod consume;
pub use consume::{CommandConsumer, hear, serve};

mod follow;
pub use follow::{Places, follow};

mod lock;
pub use lock::SemanticLock;
