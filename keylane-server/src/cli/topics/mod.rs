//! `keylane topics`: which topics there should be, what is wrong with those there are, and what can be changed without breaking key order.

mod arguments;
pub(super) use arguments::{TopicsArguments, run};

mod plan;

mod lint;

mod apply;
