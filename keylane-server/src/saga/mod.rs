//! Sagas at the rim: what a definition comes to, and what is wrong with one, as text and JSON.

mod turns;

mod plan_text;
pub use plan_text::plan_text;

mod plan_wire;
pub use plan_wire::{mistakes_wire, plan_wire};
