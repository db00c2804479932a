//! Capture from a real PostgreSQL, of every version under test.

mod changes;
mod chunks;
mod harness;
mod preflight;
mod settle;
mod shapes;
mod slots;
mod values;
