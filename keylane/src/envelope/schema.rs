//! A table's schema as the value of a schema record: JSON of everything in it, its fingerprint checked when read.

use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::{Column, ForeignKey, SchemaId, TableName, TableSchema};
use serde::{Deserialize, Serialize};

use super::EnvelopeError;

#[derive(Serialize, Deserialize)]
struct WireSchema {
    id: String,
    schema: String,
    table: String,
    columns: Vec<WireColumn>,
    key: Vec<usize>,
    order_key: Vec<usize>,
    uniques: Vec<Vec<usize>>,
    references: Vec<WireForeignKey>,
    referenced: Vec<Vec<usize>>,
}

#[derive(Serialize, Deserialize)]
struct WireColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    nullable: bool,
    generated: bool,
}

#[derive(Serialize, Deserialize)]
struct WireForeignKey {
    columns: Vec<usize>,
    parent_schema: String,
    parent_table: String,
    parent_columns: Vec<String>,
}

/// The value of a schema record.
pub fn encode_schema(schema: &TableSchema) -> Bytes {
    let wire = WireSchema {
        id: format!("{:016x}", schema.id.0),
        schema: schema.table.schema.to_string(),
        table: schema.table.name.to_string(),
        columns: schema
            .columns
            .iter()
            .map(|column| WireColumn {
                name: column.name.to_string(),
                type_name: column.type_name.to_string(),
                nullable: column.nullable,
                generated: column.generated,
            })
            .collect(),
        key: schema.key.clone(),
        order_key: schema.order_key.clone(),
        uniques: schema.uniques.clone(),
        references: schema
            .references
            .iter()
            .map(|key| WireForeignKey {
                columns: key.columns.clone(),
                parent_schema: key.parent.schema.to_string(),
                parent_table: key.parent.name.to_string(),
                parent_columns: key.parent_columns.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        referenced: schema.referenced.clone(),
    };
    Bytes::from(serde_json::to_vec(&wire).expect("strings and numbers always are JSON"))
}

/// Reads the value of a schema record.
///
/// # Errors
/// [`EnvelopeError::Malformed`], also if a column index points nowhere; [`EnvelopeError::SchemaMismatch`] if the content is not what its fingerprint says.
pub fn decode_schema(value: &[u8]) -> Result<TableSchema, EnvelopeError> {
    let wire: WireSchema =
        serde_json::from_slice(value).map_err(|error| EnvelopeError::parse(&error, "a schema"))?;
    let named = u64::from_str_radix(&wire.id, 16)
        .map(SchemaId)
        .map_err(|_| EnvelopeError::malformed("a schema's id is 16 hexadecimal digits"))?;
    let schema = from_wire(wire).sealed();
    if schema.id != named {
        return Err(EnvelopeError::SchemaMismatch {
            named,
            found: schema.id,
        });
    }
    let indices = schema.key.iter().chain(&schema.order_key);
    let indices = indices.chain(schema.uniques.iter().flatten());
    let indices = indices.chain(schema.references.iter().flat_map(|key| &key.columns));
    let mut indices = indices.chain(schema.referenced.iter().flatten());
    if indices.any(|index| *index >= schema.columns.len()) {
        return Err(EnvelopeError::malformed(
            "a schema's keys are indices of its columns",
        ));
    }
    Ok(schema)
}

fn from_wire(wire: WireSchema) -> TableSchema {
    TableSchema {
        id: SchemaId::default(),
        table: TableName::new(wire.schema, wire.table),
        columns: wire
            .columns
            .into_iter()
            .map(|column| Column {
                name: Arc::from(column.name),
                type_name: Arc::from(column.type_name),
                nullable: column.nullable,
                generated: column.generated,
            })
            .collect(),
        key: wire.key,
        order_key: wire.order_key,
        uniques: wire.uniques,
        references: wire
            .references
            .into_iter()
            .map(|key| ForeignKey {
                columns: key.columns,
                parent: TableName::new(key.parent_schema, key.parent_table),
                parent_columns: key.parent_columns.into_iter().map(Arc::from).collect(),
            })
            .collect(),
        referenced: wire.referenced,
    }
}
