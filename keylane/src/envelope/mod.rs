//! The Debezium envelope: how a change is written in a record's value, and read from it.
//!
//! [`encode_change`] writes what existing Debezium consumers read; [`decode`] reads exactly that back, with the record's `keylane` header and the
//! schema it names. The member map is in `docs/reference/envelope.md`.

mod source;
pub use source::{Connector, SourceInfo};

mod text;

mod encode;
pub use encode::encode_change;

mod schema;
pub use schema::{decode_schema, encode_schema};

mod cache;
pub use cache::SchemaCache;

mod decode;
pub use decode::decode;

mod debezium;
pub use debezium::{
    DebeziumDecoder, DebeziumPosition, DebeziumSettings, DecimalForm, ForeignChange, Guarantee,
    TimeForm,
};

mod known_tables;
pub use known_tables::{KnownTables, Told, schema_of};

mod parked;
pub use parked::{DecodeParked, ParkedRecord};

mod error;
pub use error::EnvelopeError;
