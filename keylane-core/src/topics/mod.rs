//! Topics: what goes where, and why. A plan out of an origin's tables, what is wrong with a cluster's topics, and which changes keep key order.
//!
//! Pure, as all of this crate: who calls reads the origin and the cluster, and hands over what was found.

mod figures;
pub use figures::{amount, bytes, hours, percent};

mod inputs;
pub use inputs::{Described, Input, Inputs, Said, parse_inputs};

mod schema;
pub use schema::{BeforeImage, Rate, Reference, Table};

mod group;
pub use group::{Bond, Follows, Group, Member, groups};

mod partitions;
pub use partitions::{
    Bound, Demand, Load, Retention, Sized, bounds, hot_key_max_per_s, leaderless_ms, partitions,
    replicas_per_broker_max, retention, threads_busy, zipf_hottest_share,
};

mod plan;
pub use plan::{
    Difference, Plan, PlannedTable, PlannedTopic, Rule, Warning, Why, differences, plan,
};

mod warn;

pub mod lint;

mod change;
pub use change::{Alteration, Change, Drained, Refusal, WantedTopic, changes};

#[cfg(test)]
mod plan_tests;
