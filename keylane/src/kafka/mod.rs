//! Kafka: the log that machines share, by librdkafka.
//!
//! [`KafkaLog`] is `keylane_core::publish::Log`: an idempotent producer that leaves no gap, topics with an identity, one-off reads of a partition's tail, and a
//! consumer that holds each partition's records in a queue of its own. Which partitions those are a group says, to a client of its own.

mod settings;
pub use settings::KafkaSettings;

mod properties;
pub use properties::{HAS_TLS, PropertyFault, PropertyFaultKind, property_faults};

mod watch;

mod failure;

mod native;

mod topics;

mod producer;

mod record;

mod queue;

mod reader;

mod consumer;

mod listener;

mod commits;

mod member;

mod log;
pub use log::KafkaLog;

mod alter;
pub use alter::alter_topic;

mod describe;
pub use describe::{Look, brokers, cluster};

mod preflight;
pub use preflight::{Wanted, preflight};
