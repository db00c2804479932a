//! Apache Kafka in KRaft mode: one node, or several that are broker and controller at once.

mod cluster;
mod handle;
mod java;
mod node;
mod options;
mod probe;
mod security;
mod server;

pub use handle::KafkaHandle;
pub use java::kafka_tool;
pub use options::KafkaOptions;
pub use probe::KafkaPartition;
pub use security::KafkaListener;
pub use server::Kafka;

pub(crate) use java::Java;
