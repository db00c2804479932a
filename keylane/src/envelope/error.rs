//! Why a value cannot be written or read. No message holds a row's values.

use keylane_core::model::{SchemaId, TableName};

/// What is wrong with a change or with a record's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The record has no `keylane` header, or its header names no schema.
    #[error(
        "the record names no schema: it was not written by Keylane, or its headers were removed on the way"
    )]
    NoSchema,
    /// The schema the record names is not known here: read the topic's schema records first.
    #[error("the record names schema {:016x}, which is not known: its schema record has not been read", .0.0)]
    UnknownSchema(SchemaId),
    /// A schema record's content does not match the fingerprint it carries.
    #[error("a schema record says it is {:016x} but its content is {:016x}", .named.0, .found.0)]
    SchemaMismatch {
        /// What it says it is.
        named: SchemaId,
        /// What its content is.
        found: SchemaId,
    },
    /// The value is not what it should be.
    #[error("the value is malformed at byte {at_byte}: {what}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// Where, from the value's beginning; 0 if it is the whole.
        at_byte: usize,
    },
    /// A column's value is not of the form its type asks for.
    #[error("column {column} of {table} does not hold {expected}")]
    Column {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// What its type asks for.
        expected: &'static str,
    },
    /// A foreign envelope without schemas, and the replica does not know the table: nothing says how its values are meant.
    #[error(
        "the topic carries no schemas and the replica has no table {table}: create it, or let the connector write schemas"
    )]
    UnknownTable {
        /// The table.
        table: TableName,
    },
}

impl EnvelopeError {
    pub(in crate::envelope) fn malformed(what: &'static str) -> Self {
        EnvelopeError::Malformed { what, at_byte: 0 }
    }

    /// The parser's own words may quote the value, so only the place is taken over.
    pub(in crate::envelope) fn parse(error: &serde_json::Error, what: &'static str) -> Self {
        EnvelopeError::Malformed {
            what,
            at_byte: error.column(),
        }
    }
}
