//! The outbox: events that a service writes into a table of its own database, in the transaction of what they tell of.
//!
//! A row names its topic, its key and what it carries ([`Event::of_row`]); [`Rules`] say which topics it may name and how large it may be. What cannot be published is a [`Refusal`]: it is
//! written back into the row and holds up nothing else. How events are numbered, and told apart from what is in the log already, is the sequencer's, as for every other change.

mod refusal;
pub use refusal::{Refusal, RefusalCode};

mod event;
pub use event::Event;

mod row;
pub use row::{COLUMNS, Place, fault_of, place};

mod time;

mod rules;
pub use rules::{EVENT_BYTES_MAX, Rules, TOPICS_MAX, TopicPattern};
