//! A consumer for any async handler: records of one key in order, as many keys side by side as are asked for, whatever the number of partitions.
//!
//! ```no_run
//! # use std::time::Duration;
//! use keylane::consumer::{Consumer, Record};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn send_mail(_: &Record) -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! Consumer::kafka("127.0.0.1:9092", "mailer")
//!     .topic("orders")
//!     .concurrency(500)
//!     .attempts(5)
//!     .dead_letter("orders.dead")
//!     .run(CancellationToken::new(), async |record: Record| send_mail(&record).await)
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Order**: records of one key of one partition are handled one after another, each only when the one before is done. **Progress** is the group's own: the offset
//! below which everything is done, and with it, in the commit's metadata, what is done above. **At least once**: after a crash what was being handled, or was done and not
//! committed yet, is handled again; a handler whose effect must not happen twice tells a repeat by [`Record::id`]. **Exactly once**, for what is written to a PostgreSQL database:
//! [`Consumer::run_in_transactions`]. **Bounds**: what is fetched and not done is bounded
//! in bytes, fairly between partitions; records that pause after a failure do not count, so that they hold up nothing but their key.
//!
//! After a record's last attempt it goes to a dead-letter topic, is skipped, or the consumer stops, as asked for; without a number of attempts it is tried for ever.
//!
//! - `settings`: what is asked for.
//! - `record`: what a handler gets.
//! - `handlers`: what a handler may be.
//! - `transaction`: one attempt in a transaction that holds the progress too.
//! - `error`: what ends a consumer.
//! - `run`: the loop.
//! - `work`: handlers in progress, by partition.
//! - `pace`: how many at once, and how many a second.
//! - `settle`: what becomes of a record whose handler has ended.
//! - `intake`: what comes in, as much as there is room for.
//! - `partitions`: what the group says.
//! - `progress`: what the group keeps.
//! - `lanes`, `takeover`: the same where a database keeps it.
//! - `dead_letter`: where records go that cannot be handled.
//! - `redrive`: how they are put back.
//! - `stats`: what it did, and whether it is well.

pub use keylane_core::consume::{Batch, KeepOrder};

mod settings;
pub use settings::{Consumer, OnGap, StartAt};

mod order;

mod record;
pub use record::{Record, StoredRecord};

mod handlers;

mod transaction;
pub use crate::postgres::consume::PostgresProgress;
pub use transaction::Transaction;

mod work;

mod error;
pub use error::ConsumerError;

mod run;

mod intake;

mod pace;

mod settle;

mod partitions;

mod progress;

mod lanes;

mod takeover;

mod dead_letter;

mod redrive;
pub use redrive::{Redrive, Redriven};

mod stats;
pub use stats::{ConsumerStats, HOT_KEYS_MAX, Health, HotKeyBound};
