//! Real parts for tests and for developers: Apache Kafka and PostgreSQL, started on free loopback ports in temporary folders and taken down again; and a receiver
//! of webhooks that keeps to Slack's rules.
//!
//! Blocking, and for development only: nothing here ships. What it promises:
//! - A part that is returned answers requests. Readiness is a condition that was seen, never a pause.
//! - A part ends with the process that started it, even when that process is killed with SIGKILL (see [`end_with_this_process`]).
//! - A failure names what was awaited and shows the tail of the part's own log.
//! - What a part needs is fetched once into a cache folder that any number of processes may share.

mod authority;
mod cache;
mod cargo_deny;
mod debezium;
mod error;
mod guard;
mod install;
mod kafka;
mod maven;
mod mode;
mod parallel_consumer;
mod ports;
mod postgres;
mod proc_file;
mod process;
mod receiver;
mod reladiff;
mod signal;
mod usage;
mod wait;
mod work_dir;

pub use authority::{Authority, Certificate};
pub use cache::cache_dir;
pub use cargo_deny::{cargo_deny, has_cargo_deny};
pub use debezium::{Debezium, DebeziumOptions};
pub use error::{PartsError, Result};
pub use guard::end_with_this_process;
pub use install::{Tool, ensure_installed};
pub use kafka::{Kafka, KafkaHandle, KafkaListener, KafkaOptions, KafkaPartition, kafka_tool};
pub use mode::{quick, slow};
pub use parallel_consumer::{PARALLEL_CONSUMER_VERSION, parallel_consumer_jars};
pub use ports::{PortLease, free_port};
pub use postgres::{Postgres, PostgresHandle, PostgresOptions, PostgresVersion};
pub use process::{is_running, kill_tree, start_ticks};
pub use receiver::{Behaviour, Received, Receiver, slack_takes};
pub use reladiff::{RELADIFF_VERSION, reladiff};
pub use signal::{Signal, send_signal};
pub use usage::{Usage, cpu_with_ended_children, usage_of, usage_with_children};
pub use wait::wait_until;
