//! What is wrong with topics, with groups and with clients of topics: 22 rules, each a function of what is known.
//!
//! A rule that cannot be judged says what would let it be judged; nothing is passed over in silence. The rules work on any Kafka: a pipeline's configuration is one more source of
//! facts. `docs/guides/topics.md` has each with its reason and its remedy.
//!
//! - `facts`: what the rules look at.
//! - `rule`: what each is called, how bad a breach is, and why.
//! - `sizing` (L1, L2, L3, L18, L20), `order` (L4 to L8), `consuming` (L9, L10, L19, L21, L22), `delivery` (L11 to L14), `store` (L15, L16, L17): the rules.
//! - `report`: findings, and what could not be judged.

mod facts;
pub use facts::{Client, Cluster, Facts, Group, Library, Pipeline, Planned, Sampled, Topic};

mod rule;
pub use rule::{AboutLint, Lint, Severity};

mod sizing;

mod order;

mod consuming;

mod delivery;

mod store;

mod report;
pub use report::{Finding, Report, Unjudged, lint};

/// The subject of what is about all brokers.
const CLUSTER: &str = "the cluster";
const NEEDS_CLUSTER: &str = "a cluster: --bootstrap HOST:PORT";
const NEEDS_CLIENTS: &str = "the clients' settings: --client-properties FILE";

#[cfg(test)]
mod tests;
