//! Reads Keylane's own records: one pass over the value, rows aligned to the schema that the record's header names.
//!
//! Numbers keep their digits: nothing goes through a float. Any bytes are refused or read, never a reason to stop.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keylane_core::model::{Change, Op, Row, TableSchema, Value};
use keylane_core::publish::Header;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{EnvelopeError, SchemaCache};

/// Reads a record's value: the change, its position and commit time from the header.
///
/// # Errors
/// [`EnvelopeError::NoSchema`] without a header that names a schema, [`EnvelopeError::UnknownSchema`] if the cache does not hold it,
/// [`EnvelopeError::Malformed`] if the value is not an envelope of a row of that schema.
pub fn decode(
    value: &[u8],
    header: Option<&Header>,
    schemas: &SchemaCache,
) -> Result<Change, EnvelopeError> {
    let header = header.ok_or(EnvelopeError::NoSchema)?;
    let id = header.schema.ok_or(EnvelopeError::NoSchema)?;
    let schema = schemas.get(id).ok_or(EnvelopeError::UnknownSchema(id))?;
    let mut parser = serde_json::Deserializer::from_slice(value);
    let envelope = EnvelopeSeed(&schema)
        .deserialize(&mut parser)
        .and_then(|envelope| parser.end().map(|()| envelope))
        .map_err(|error| EnvelopeError::parse(&error, "an envelope of the schema's columns"))?;
    envelope.into_change(schema, header)
}

#[derive(Default)]
struct Envelope {
    op: Option<Op>,
    before: Option<Row>,
    after: Option<Row>,
    moved_from: Option<Row>,
    tx: u64,
}

impl Envelope {
    fn into_change(
        self,
        schema: Arc<TableSchema>,
        header: &Header,
    ) -> Result<Change, EnvelopeError> {
        let op = self.op.ok_or(EnvelopeError::malformed("it has no `op`"))?;
        match op {
            Op::Read | Op::Insert | Op::Update if self.after.is_none() => {
                return Err(EnvelopeError::malformed("its `op` asks for `after`"));
            }
            Op::Delete if self.before.is_none() => {
                return Err(EnvelopeError::malformed("its `op` asks for `before`"));
            }
            Op::Read | Op::Insert | Op::Update | Op::Delete | Op::Truncate => {}
        }
        Ok(Change {
            schema,
            op,
            before: self.before,
            after: self.after,
            moved_from: self.moved_from,
            position: header.position,
            tx: self.tx,
            committed_at_us: header.committed_at_us,
        })
    }
}

pub(in crate::envelope) fn op_of_letter(letter: &str) -> Option<Op> {
    Some(match letter {
        "r" => Op::Read,
        "c" => Op::Insert,
        "u" => Op::Update,
        "d" => Op::Delete,
        "t" => Op::Truncate,
        _ => return None,
    })
}

struct EnvelopeSeed<'s>(&'s TableSchema);

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'_> {
    type Value = Envelope;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Envelope, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(member) = map.next_key::<Member>()? {
            match member {
                Member::Before => envelope.before = map.next_value_seed(RowSeed(self.0))?,
                Member::After => envelope.after = map.next_value_seed(RowSeed(self.0))?,
                Member::MovedFrom => envelope.moved_from = map.next_value_seed(RowSeed(self.0))?,
                Member::Source => envelope.tx = map.next_value::<Source>()?.tx,
                Member::Op => envelope.op = Some(map.next_value::<OpLetter>()?.0),
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Before,
    After,
    MovedFrom,
    Source,
    Op,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Source {
    #[serde(rename = "txId", default)]
    tx: u64,
}

struct OpLetter(Op);

impl<'de> Deserialize<'de> for OpLetter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let letter = <&str>::deserialize(deserializer)?;
        op_of_letter(letter)
            .map(OpLetter)
            .ok_or_else(|| D::Error::custom("op"))
    }
}

struct RowSeed<'s>(&'s TableSchema);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Option<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Row>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Option<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row or null")
    }

    fn visit_unit<E>(self) -> Result<Option<Row>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Row>, A::Error> {
        let mut row = vec![Value::Absent; self.0.columns.len()];
        let mut likely = 0;
        let seed = |likely| ColumnSeed {
            schema: self.0,
            likely,
        };
        while let Some(index) = map.next_key_seed(seed(likely))? {
            let text = map.next_value::<&RawValue>()?.get();
            let value = value_of(text).ok_or_else(|| A::Error::custom("a column's value"))?;
            if let Some(place) = row.get_mut(index) {
                *place = value;
            }
            likely = index + 1;
        }
        Ok(Some(row))
    }
}

/// A column's index by its name. The name is compared where it stands; columns mostly come in order.
struct ColumnSeed<'s> {
    schema: &'s TableSchema,
    likely: usize,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ColumnSeed<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        let column = self.schema.columns.get(self.likely);
        if column.is_some_and(|column| &*column.name == name) {
            return Ok(self.likely);
        }
        self.schema
            .column_index(name)
            .ok_or_else(|| E::custom("a column's name"))
    }
}

/// A column's value from its JSON text, which is known to be well-formed.
fn value_of(text: &str) -> Option<Value> {
    Some(match text.as_bytes().first()? {
        b'n' => Value::Null,
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'"' => Value::Text(string_of(text)?),
        b'{' => Value::Bytes(bytes_of(text)?),
        b'[' => return None,
        _ => Value::number(text),
    })
}

pub(in crate::envelope) fn string_of(text: &str) -> Option<Box<str>> {
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    if inner.as_bytes().contains(&b'\\') {
        return serde_json::from_str(text).ok();
    }
    Some(Box::from(inner))
}

fn bytes_of(text: &str) -> Option<Box<[u8]>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire<'a> {
        // Base64 has nothing to escape, so it can be borrowed.
        #[serde(rename = "$bytes")]
        base64: &'a str,
    }
    let wire: Wire<'_> = serde_json::from_str(text).ok()?;
    STANDARD.decode(wire.base64).ok().map(Vec::into_boxed_slice)
}
