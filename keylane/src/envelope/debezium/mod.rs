//! Topics written by Debezium itself: JSON with or without embedded schemas, values brought to the text that the replica reads back.
//!
//! What Debezium loses on the way, and which guarantee holds for its topics, stands in `docs/guides/debezium-topics.md`.

mod position;
pub use position::{DebeziumPosition, Guarantee};

mod calendar;

mod form;
pub use form::{DebeziumSettings, DecimalForm, TimeForm};

mod connect;

mod decimal;

mod render;

mod parts;

mod decoder;
pub use decoder::{DebeziumDecoder, ForeignChange};
