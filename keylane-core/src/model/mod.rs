//! What moves along the road: values, rows, keys, schemas, positions and changes.

mod value;
pub use value::Value;

mod position;
pub use position::{Epoch, Offset, Position};

mod schema;
pub use schema::{Column, ForeignKey, SchemaId, TableName, TableSchema, fingerprint};

mod key;
pub use key::{KeyText, canonical, key_text, key_text_as};

pub(crate) use key::json_string;

mod change;
pub use change::{Change, Op, Row};

mod partition;
pub use partition::{Lane, LaneCount, OrderHash, TopicPartition, murmur2};
