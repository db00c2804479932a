//! The models that stand for the outside: an origin with constraints and transactions, a replica with the same, and what routes changes between them.

mod shop;
pub use shop::{Shape, Shop, Transaction};

mod history;
pub use history::{history, states};

mod rows;
pub use rows::Rows;

mod replica;
pub use replica::{Effect, Replica};

mod route;
pub use route::{Routes, ordered, value_of};

pub(crate) mod log;

mod written;
pub(crate) use written::{Written, written};

mod feed;
pub(crate) use feed::Feed;

mod worker;
pub use worker::{outcome, transaction};

mod check;
pub use check::{converged, in_order};
