//! Sagas over a network that loses, doubles, delays and reorders, with crashes anywhere: does each end with all its effects or with none, for ever?

mod variants;
pub use variants::SIMULATION;

mod participant;

mod check;

mod story;

mod store;

mod orchestrator;

mod world;

mod exhaustive;
pub use exhaustive::{CASES, Case, Seen, explore};

#[cfg(test)]
mod choreography;
