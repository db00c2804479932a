//! Parked changes as people and scripts see them.

mod view;
pub use view::{ParkedView, details, table};
