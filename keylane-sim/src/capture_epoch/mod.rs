//! Exactly once into the log over crashes, hangs and late appends of the capturer, without transactions of the log.
//!
//! One slot that one process holds, a few partitions and a control partition, capturers that die, hang past their time-out and wake, whose appends land late.
//! Retention empties what lies behind a stored checkpoint. A reader that shares no code with the capturers walks each partition: every position must be
//! there once, in order.

mod variants;
pub use variants::SIMULATION;

mod capturer;

mod world;
