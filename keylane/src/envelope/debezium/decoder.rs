//! Debezium's records as changes.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use keylane_core::model::{Change, Column, Op, Row, SchemaId, TableName, TableSchema, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::connect::Field;
use super::form::{DebeziumSettings, Form};
use super::parts::{Members, payload};
use super::position::DebeziumPosition;
use super::render;
use crate::envelope::EnvelopeError;
use crate::envelope::decode::{op_of_letter, string_of};

/// Shapes of rows that are remembered.
const SHAPES_MAX: usize = 2_000;

/// A change that Debezium wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignChange {
    /// The change. Its schema is what the record tells (and the replica, where the record does not); its position is [`DebeziumPosition::place`].
    pub change: Change,
    /// Where Debezium says it stands.
    pub position: DebeziumPosition,
}

/// Reads Debezium's records. Remembers the shapes of rows it has met; shared between threads.
#[derive(Debug, Default)]
pub struct DebeziumDecoder {
    settings: DebeziumSettings,
    shapes: Mutex<HashMap<u64, Arc<Shape>>>,
}

/// How the rows of one kind of record are read.
#[derive(Debug)]
struct Shape {
    told_by: ToldBy,
    schema: Arc<TableSchema>,
    forms: Vec<Form>,
}

/// Everything a shape follows from.
#[derive(Debug)]
struct ToldBy {
    table: TableName,
    names: Vec<String>,
    key: Vec<String>,
    embedded: Option<Box<str>>,
    target: Option<SchemaId>,
}

#[derive(Default, Deserialize)]
struct Source<'a> {
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    db: Option<String>,
    #[serde(default)]
    table: Option<String>,
    #[serde(borrow, default)]
    snapshot: Option<&'a RawValue>,
    #[serde(default)]
    sequence: Option<String>,
    #[serde(default)]
    lsn: Option<u64>,
    #[serde(default, rename = "txId")]
    tx: Option<u64>,
    #[serde(default)]
    ts_ms: Option<i64>,
    #[serde(default)]
    ts_us: Option<i64>,
}

impl DebeziumDecoder {
    /// For topics of a connector that was set up like this; the settings count only where records carry no schemas.
    pub fn new(settings: DebeziumSettings) -> Self {
        DebeziumDecoder {
            settings,
            shapes: Mutex::default(),
        }
    }

    /// Reads a record; `None` for what is no change (a tombstone, a heartbeat, a message, a transaction's boundary).
    ///
    /// `target` is the replica's table, by which values are read that nothing else explains.
    ///
    /// # Errors
    /// [`EnvelopeError::Malformed`], [`EnvelopeError::Column`] if a value is not of its form, [`EnvelopeError::UnknownTable`] if neither the record nor the
    /// replica says how values are meant.
    pub fn decode(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        target: &dyn Fn(&TableName) -> Option<Arc<TableSchema>>,
    ) -> Result<Option<ForeignChange>, EnvelopeError> {
        let Some(value) = value else { return Ok(None) };
        let Some(envelope) = payload(value, "a Debezium envelope")? else {
            return Ok(None);
        };
        let Some(op) = envelope.members.get("op") else {
            return Ok(None);
        };
        let letter = string_of(op.get()).ok_or(EnvelopeError::malformed("`op` is a letter"))?;
        if &*letter == "m" {
            return Ok(None);
        }
        let op = op_of_letter(&letter).ok_or(EnvelopeError::malformed("`op` is a known letter"))?;
        let source = source(&envelope.members)?;
        let table = source.table_name()?;
        let key = match key {
            Some(key) => payload(key, "a record's key")?.map(|key| key.members),
            None => None,
        };
        let before = row_members(&envelope.members, "before")?;
        let after = row_members(&envelope.members, "after")?;
        let told = after.as_ref().or(before.as_ref());
        let shape = self.shape(&table, told, key.as_ref(), envelope.schema, target)?;
        let position = source.position(op);
        let change = Change {
            op,
            before: shape.before(before.as_ref())?,
            after: after.map(|row| shape.row(&row)).transpose()?,
            moved_from: None,
            position: position.place(),
            tx: source.tx.unwrap_or(0),
            committed_at_us: source.committed_at_us(),
            schema: shape.schema.clone(),
        };
        checked(change).map(|change| Some(ForeignChange { change, position }))
    }

    /// Where a record's change stands, without reading its rows; `None` for what is no change or does not tell.
    pub fn position(value: &[u8]) -> Option<DebeziumPosition> {
        let envelope = payload(value, "a Debezium envelope").ok()??;
        let letter = string_of(envelope.members.get("op")?.get())?;
        let op = op_of_letter(&letter)?;
        Some(source(&envelope.members).ok()?.position(op))
    }

    /// Which table a record's change is of, as far as it tells.
    pub fn table(value: &[u8]) -> Option<TableName> {
        let envelope = payload(value, "a Debezium envelope").ok()??;
        source(&envelope.members).ok()?.table_name().ok()
    }

    fn shape(
        &self,
        table: &TableName,
        row: Option<&Members<'_>>,
        key: Option<&Members<'_>>,
        embedded: Option<&RawValue>,
        target: &dyn Fn(&TableName) -> Option<Arc<TableSchema>>,
    ) -> Result<Arc<Shape>, EnvelopeError> {
        let target = target(table);
        let target_id = target.as_ref().map(|target| target.id);
        let embedded = embedded.map(RawValue::get);
        let mut hasher = DefaultHasher::new();
        (table, embedded, target_id).hash(&mut hasher);
        for name in names(row).chain([""]).chain(names(key)) {
            name.hash(&mut hasher);
        }
        let hash = hasher.finish();
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shapes.get(&hash).filter(|shape| {
            let told_by = &shape.told_by;
            told_by.table == *table
                && told_by.embedded.as_deref() == embedded
                && told_by.target == target_id
                && told_by.names.iter().map(String::as_str).eq(names(row))
                && told_by.key.iter().map(String::as_str).eq(names(key))
        });
        if let Some(shape) = known {
            return Ok(shape.clone());
        }
        let told_by = ToldBy {
            table: table.clone(),
            names: names(row).map(str::to_owned).collect(),
            key: names(key).map(str::to_owned).collect(),
            embedded: embedded.map(Box::from),
            target: target_id,
        };
        let shape = Arc::new(Shape::new(told_by, target.as_deref(), self.settings)?);
        if shapes.len() >= SHAPES_MAX {
            shapes.clear();
        }
        shapes.insert(hash, shape.clone());
        Ok(shape)
    }
}

fn names<'m>(members: Option<&'m Members<'_>>) -> impl Iterator<Item = &'m str> {
    let members = members.into_iter().flat_map(|members| &members.0);
    members.map(|(name, _)| &**name)
}

/// What each operation must carry.
fn checked(change: Change) -> Result<Change, EnvelopeError> {
    match change.op {
        Op::Read | Op::Insert | Op::Update if change.after.is_none() => {
            Err(EnvelopeError::malformed("its `op` asks for `after`"))
        }
        Op::Delete if change.before.is_none() => {
            Err(EnvelopeError::malformed("its `op` asks for `before`"))
        }
        Op::Read | Op::Insert | Op::Update | Op::Delete | Op::Truncate => Ok(change),
    }
}

fn source<'a>(envelope: &Members<'a>) -> Result<Source<'a>, EnvelopeError> {
    let json = envelope
        .get("source")
        .ok_or(EnvelopeError::malformed("it has no `source`"))?;
    serde_json::from_str(json.get()).map_err(|error| EnvelopeError::parse(&error, "`source`"))
}

fn row_members<'a>(
    envelope: &Members<'a>,
    name: &str,
) -> Result<Option<Members<'a>>, EnvelopeError> {
    match envelope.get(name).map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(json) => Members::parse(json, "a row").map(Some),
    }
}

impl Source<'_> {
    fn table_name(&self) -> Result<TableName, EnvelopeError> {
        let table = self.table.as_deref();
        let table = table.ok_or(EnvelopeError::malformed("`source` names no table"))?;
        let schema = self.schema.as_deref().or(self.db.as_deref());
        Ok(TableName::new(schema.unwrap_or_default(), table))
    }

    fn committed_at_us(&self) -> i64 {
        let of_ms = || self.ts_ms.map(|ms| ms.saturating_mul(1000));
        self.ts_us.or_else(of_ms).unwrap_or(0)
    }

    fn position(&self, op: Op) -> DebeziumPosition {
        let sequence: Option<Vec<Option<String>>> = self
            .sequence
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        let number = |place: usize| -> Option<u64> {
            sequence.as_ref()?.get(place)?.as_deref()?.parse().ok()
        };
        let snapshot = self.snapshot.map(RawValue::get);
        let streamed = matches!(snapshot, None | Some("null" | "false" | "\"false\""));
        DebeziumPosition {
            snapshot: op == Op::Read || !streamed,
            last_commit: number(0),
            lsn: number(1).or(self.lsn),
            sequenced: number(1).is_some(),
            half: u8::from(op == Op::Insert),
        }
    }
}

impl Shape {
    fn new(
        told_by: ToldBy,
        target: Option<&TableSchema>,
        settings: DebeziumSettings,
    ) -> Result<Self, EnvelopeError> {
        let embedded: Option<Field<'_>> = match &told_by.embedded {
            Some(json) => Some(embedded_schema(json)?),
            None => None,
        };
        let row_field = embedded
            .as_ref()
            .and_then(|schema| schema.member("after").or(schema.member("before")));
        if row_field.is_none() && target.is_none() && !told_by.names.is_empty() {
            let table = told_by.table.clone();
            return Err(EnvelopeError::UnknownTable { table });
        }
        // A truncate has no row to tell the columns.
        if let Some(target) = target.filter(|_| told_by.names.is_empty()) {
            return Ok(Shape {
                schema: Arc::new(target.clone()),
                forms: Vec::new(),
                told_by,
            });
        }
        let (mut columns, mut forms) = (Vec::new(), Vec::new());
        for name in &told_by.names {
            let found = target.and_then(|target| target.columns.get(target.column_index(name)?));
            let found_type = found.map(|column| &*column.type_name);
            let field = row_field.and_then(|row| row.member(name));
            let (form, type_name) = match field {
                Some(field) => {
                    let (form, type_name) = field.form();
                    (form.refined(found_type), type_name.into_owned())
                }
                // A column that the replica does not have is refused when it is written, not here.
                None => {
                    let type_name = found_type.unwrap_or("text");
                    (Form::of_type(type_name, settings), type_name.to_owned())
                }
            };
            columns.push(Column {
                name: Arc::from(&**name),
                type_name: found_type.map_or_else(|| Arc::from(type_name), Arc::from),
                nullable: field.is_none_or(|field| field.optional),
                generated: found.is_some_and(|column| column.generated),
            });
            forms.push(form);
        }
        let place = |name: &String| told_by.names.iter().position(|column| column == name);
        let key: Vec<usize> = told_by.key.iter().filter_map(place).collect();
        let schema = TableSchema {
            id: SchemaId::default(),
            table: told_by.table.clone(),
            columns,
            order_key: key.clone(),
            key,
            uniques: target
                .map(|target| mapped(target, &told_by.names))
                .unwrap_or_default(),
            references: Vec::new(),
            referenced: Vec::new(),
        };
        Ok(Shape {
            schema: Arc::new(schema.sealed()),
            forms,
            told_by,
        })
    }

    fn row(&self, members: &Members<'_>) -> Result<Row, EnvelopeError> {
        let mut row = Vec::with_capacity(self.forms.len());
        for ((place, column), form) in self.schema.columns.iter().enumerate().zip(&self.forms) {
            // Mostly in order.
            let json = match members.0.get(place) {
                Some((name, json)) if **name == *column.name => Some(*json),
                _ => members.get(&column.name),
            };
            row.push(match json {
                Some(json) => self.value(column, form, json)?,
                None => Value::Absent,
            });
        }
        Ok(row)
    }

    fn value(&self, column: &Column, form: &Form, json: &RawValue) -> Result<Value, EnvelopeError> {
        render::value(form, json).map_err(|expected| EnvelopeError::Column {
            table: self.schema.table.clone(),
            column: column.name.to_string(),
            expected,
        })
    }

    /// The row before. Of a keyed table only its key: Debezium fills what the origin does not tell with nulls and defaults, which look like values.
    fn before(&self, members: Option<&Members<'_>>) -> Result<Option<Row>, EnvelopeError> {
        let Some(members) = members else {
            return Ok(None);
        };
        let mut row = self.row(members)?;
        if self.schema.has_key() {
            for (place, value) in row.iter_mut().enumerate() {
                if !self.schema.key.contains(&place) {
                    *value = Value::Absent;
                }
            }
        }
        Ok(Some(row))
    }
}

fn embedded_schema(json: &str) -> Result<Field<'_>, EnvelopeError> {
    serde_json::from_str(json).map_err(|error| EnvelopeError::parse(&error, "an embedded schema"))
}

/// The replica's unique constraints in the record's columns: what may collide must be known to wait for.
fn mapped(target: &TableSchema, names: &[String]) -> Vec<Vec<usize>> {
    let column = |index: &usize| {
        let column = target.columns.get(*index)?;
        names.iter().position(|name| **name == *column.name)
    };
    let uniques = target.uniques.iter();
    uniques
        .filter_map(|unique| unique.iter().map(column).collect())
        .collect()
}
