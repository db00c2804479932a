//! Consume: what a partition holds becomes items for its lanes: judged, and with what they wait for.

mod item;
pub use item::{Intake, Item, RawPayload, Taken};

mod completed;
pub use completed::{Completed, UnreadableMap};

mod dispatch;
pub use dispatch::{Batch, Dispatch, DispatchState, Given, Incoming, KeepOrder, Ticket};

mod room;
pub use room::Buffer;

mod rate;
pub use rate::Rate;

mod hot;
pub use hot::{HotKey, HotKeys};

#[cfg(test)]
pub(crate) mod chance;
