//! Consume: what a partition holds becomes items for its lanes: judged, and with what they wait for.

mod item;
pub use item::{Intake, Item, RawPayload, Taken};

mod completed;
pub use completed::{Completed, UnreadableMap};

mod dispatch;
pub use dispatch::{Dispatch, DispatchState, Given, KeepOrder, Ticket};

#[cfg(test)]
mod chance;
