//! Parked records read back when they are redriven.

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::Change;
use keylane_core::publish::Header;

use super::{DebeziumDecoder, KnownTables, SchemaCache, Told, decode};

/// A parked record as it came.
#[derive(Clone, Copy, Debug)]
pub struct ParkedRecord<'a> {
    /// The record's key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Its `keylane` header; a record of another tool has none.
    pub header: Option<&'a str>,
}

/// Reads a parked change back from the record as it came. What a replica needs of the envelope, so that it knows no format itself.
pub trait DecodeParked: Send + Sync {
    /// The change that a record says, or the table of the replica that must be known first.
    ///
    /// # Errors
    /// `Corrupt` or `MissingObject`, in words without row values.
    fn decode_parked(
        &self,
        record: ParkedRecord<'_>,
        tables: &KnownTables,
    ) -> Result<Told<Change>, ApplyError>;
}

/// What Keylane wrote: the header names the schema, the control topic holds it.
impl DecodeParked for SchemaCache {
    fn decode_parked(
        &self,
        record: ParkedRecord<'_>,
        _: &KnownTables,
    ) -> Result<Told<Change>, ApplyError> {
        let unreadable = |why: String| ApplyError::new(ApplyErrorKind::Corrupt, told(&why));
        let header = match record.header {
            Some(text) => Some(Header::decode(text.as_bytes()).map_err(|_| {
                unreadable("its header is malformed or of a later version".to_owned())
            })?),
            None => None,
        };
        let change = decode(record.value, header.as_ref(), self);
        change
            .map(Told::Change)
            .map_err(|error| unreadable(error.to_string()))
    }
}

/// What Debezium wrote: the schema comes with the record, or is the replica's table's.
impl DecodeParked for DebeziumDecoder {
    fn decode_parked(
        &self,
        record: ParkedRecord<'_>,
        tables: &KnownTables,
    ) -> Result<Told<Change>, ApplyError> {
        match self.change(record.key, record.value, tables) {
            Ok(Told::Change(found)) => Ok(Told::Change(found.change)),
            Ok(Told::NeedsTable(table)) => Ok(Told::NeedsTable(table)),
            Err(error) => Err(ApplyError::new(error.kind, told(&error.message))),
        }
    }
}

fn told(why: &str) -> String {
    format!("a parked record cannot be read: {why}")
}
