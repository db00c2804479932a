//! The consumer whose progress is committed with what its handlers write, on real Kafka and PostgreSQL.

mod batches;
mod bed;
mod failures;
mod kills;
mod lost_answers;
mod refusals;
mod zombie;
