//! Keylane's tables and triggers in the origin: made when absent, made anew when a table got columns, refused where history cannot be told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use keylane_core::capture::{OriginError, OriginErrorKind};
use keylane_core::model::TableSchema;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::names::quoted;
use super::error::{RESHAPED, TRIGGERS_GONE, error, from_sqlite};
use super::origin::SqliteOriginOptions;
use super::{shape, triggers};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS keylane_capture (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  format INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  confirmed INTEGER NOT NULL,
  identity TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS keylane_shape (
  id INTEGER PRIMARY KEY,
  tbl TEXT NOT NULL,
  columns TEXT NOT NULL,
  live INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS keylane_change (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  shape INTEGER,
  op TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  v0
);
INSERT OR IGNORE INTO keylane_capture VALUES (1, 1, 0, 0, lower(hex(randomblob(16))));
";

/// The shapes under which changes were and are written.
#[derive(Default)]
pub(super) struct Shapes {
    /// The captured tables now, parents first.
    pub(super) tables: Vec<Arc<TableSchema>>,
    /// By shape number, earlier shapes too.
    pub(super) by_number: HashMap<i64, Arc<TableSchema>>,
}

/// Makes Keylane's own tables where they are missing.
pub(super) fn own_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)
}

/// Brings triggers and shapes up to the tables as they are now. Call it inside a write transaction.
///
/// With `known`, only those tables are looked at, and all of them must still be there.
pub(super) fn ensure(
    connection: &Connection,
    options: &SqliteOriginOptions,
    known: Option<&Shapes>,
) -> Result<Shapes, OriginError> {
    let path = &options.path;
    let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
    let mut schemas = shape::captured(connection, options)?;
    if let Some(known) = known {
        schemas.retain(|schema| known.tables.iter().any(|had| had.table == schema.table));
    }
    let mut live = live_shapes(connection).map_err(explain)?;
    let mut numbers = Vec::with_capacity(schemas.len());
    for schema in &schemas {
        let had = live.remove(&schema.table.name);
        numbers.push(ensure_table(connection, options, schema, had)?);
    }
    for (name, (number, _)) in live {
        if known.is_some() || options.tables.is_none() {
            return Err(error(
                OriginErrorKind::Refused,
                RESHAPED,
                path,
                format_args!(
                    "captured table {name} was dropped or renamed: undo that, or take it out of the captured tables"
                ),
            ));
        }
        retire(connection, &name, number).map_err(explain)?;
    }
    all_shapes(connection, schemas).map_err(explain)
}

/// What triggers were made for: of each table its shape's number and its columns.
type Made = BTreeMap<Arc<str>, (i64, Vec<String>)>;

/// Shapes that triggers write now, by table: number and column names.
fn live_shapes(connection: &Connection) -> rusqlite::Result<Made> {
    let mut statement =
        connection.prepare("SELECT tbl, id, columns FROM keylane_shape WHERE live")?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            (row.get(1)?, names_of(&row.get::<_, String>(2)?)),
        ))
    })?;
    rows.collect()
}

fn ensure_table(
    connection: &Connection,
    options: &SqliteOriginOptions,
    schema: &TableSchema,
    had: Option<(i64, Vec<String>)>,
) -> Result<i64, OriginError> {
    let path = &*options.path;
    let is_outbox = options.is_outbox(&schema.table.name);
    let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
    let name = &schema.table.name;
    let Some((number, columns)) = had else {
        let number = make(connection, schema, is_outbox).map_err(explain)?;
        if is_outbox {
            let told = connection.execute(&triggers::rows_before(schema, number), []);
            told.map_err(explain)?;
        }
        return Ok(number);
    };
    let now: Vec<&str> = schema.columns.iter().map(|column| &*column.name).collect();
    let same = columns.iter().zip(&now).all(|(had, now)| had == now);
    if !same || columns.len() > now.len() {
        return Err(error(
            OriginErrorKind::Refused,
            RESHAPED,
            path,
            format_args!(
                "table {name} lost or renamed a column (it had {}; now {}): undo that, or capture it anew with a snapshot of its own",
                columns.join(", "),
                now.join(", ")
            ),
        ));
    }
    let wanted = triggers::of_table(schema, number, is_outbox);
    let mut there = 0;
    for trigger in &wanted {
        there += usize::from(is_there(connection, &trigger.name).map_err(explain)?);
    }
    if there < wanted.len() {
        return Err(error(
            OriginErrorKind::Lost,
            TRIGGERS_GONE,
            path,
            format_args!(
                "the capture triggers of table {name} are gone (was it made anew?): changes were missed, a snapshot is needed"
            ),
        ));
    }
    if columns.len() < now.len() {
        let next = make(connection, schema, is_outbox).map_err(explain)?;
        connection
            .execute("UPDATE keylane_shape SET live = 0 WHERE id = ?1", [number])
            .and_then(|_| connection.execute(&triggers::backfill(schema, next, columns.len()), []))
            .map_err(explain)?;
        return Ok(next);
    }
    if !stand(connection, schema, &wanted).map_err(explain)? {
        put(connection, &wanted).map_err(explain)?;
    }
    Ok(number)
}

/// A new shape of a table, and its triggers.
fn make(connection: &Connection, schema: &TableSchema, is_outbox: bool) -> rusqlite::Result<i64> {
    let names: Vec<&str> = schema.columns.iter().map(|column| &*column.name).collect();
    let number = connection.query_row(
        "INSERT INTO keylane_shape (tbl, columns, live) VALUES (?1, ?2, 1) RETURNING id",
        params![
            schema.table.name,
            serde_json::Value::from(names).to_string()
        ],
        |row| row.get(0),
    )?;
    let (has, needs) = (cells(connection)?, 2 * schema.columns.len());
    for index in has..needs {
        connection.execute_batch(&format!("ALTER TABLE keylane_change ADD COLUMN v{index}"))?;
    }
    put(connection, &triggers::of_table(schema, number, is_outbox))?;
    Ok(number)
}

fn put(connection: &Connection, wanted: &[triggers::Trigger]) -> rusqlite::Result<()> {
    for trigger in wanted {
        connection.execute_batch(&format!(
            "DROP TRIGGER IF EXISTS {}; {};",
            quoted(&trigger.name),
            trigger.sql
        ))?;
    }
    Ok(())
}

/// Whether the triggers are as they should be and fire before any other of their table. SQLite fires the youngest first; one that fired before ours and
/// wrote to the same row would be told before the change that it answers.
fn stand(
    connection: &Connection,
    schema: &TableSchema,
    wanted: &[triggers::Trigger],
) -> rusqlite::Result<bool> {
    for trigger in wanted {
        let youngest_other: Option<bool> = connection
            .prepare_cached(
                "SELECT NOT EXISTS (
                   SELECT 1 FROM sqlite_schema AS o WHERE o.type = 'trigger' AND o.tbl_name = ?3 COLLATE NOCASE
                   AND o.rowid > s.rowid AND o.name NOT LIKE 'keylane~_%' ESCAPE '~')
                 FROM sqlite_schema AS s WHERE s.type = 'trigger' AND s.name = ?1 AND s.sql = ?2",
            )?
            .query_row(params![trigger.name, trigger.sql, schema.table.name], |row| row.get(0))
            .optional()?;
        if youngest_other != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_there(connection: &Connection, trigger: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?1")?
        .exists([trigger])
}

/// A table is no longer captured.
fn retire(connection: &Connection, table: &str, number: i64) -> rusqlite::Result<()> {
    for event in ["insert", "update", "delete"] {
        let name = quoted(&format!("keylane_{event}_{table}"));
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {name}"))?;
    }
    connection
        .execute("UPDATE keylane_shape SET live = 0 WHERE id = ?1", [number])
        .map(|_| ())
}

/// How many cells a row of the change table has room for.
pub(super) fn cells(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row(
        "SELECT count(*) FROM pragma_table_info('keylane_change') WHERE name GLOB 'v[0-9]*'",
        [],
        |row| row.get(0),
    )
}

/// Every shape of the captured tables: the columns a table had are the first of those it has.
fn all_shapes(connection: &Connection, schemas: Vec<TableSchema>) -> rusqlite::Result<Shapes> {
    let tables: Vec<Arc<TableSchema>> = schemas.into_iter().map(Arc::new).collect();
    let mut by_number = HashMap::new();
    let mut statement = connection.prepare("SELECT id, tbl, columns FROM keylane_shape")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let columns = names_of(&row.get::<_, String>(2)?);
        let Some(schema) = tables.iter().find(|schema| *schema.table.name == *name) else {
            continue;
        };
        let is_prefix = schema
            .columns
            .iter()
            .map(|column| &*column.name)
            .take(columns.len())
            .eq(columns.iter().map(String::as_str));
        if is_prefix {
            by_number.insert(number, first_columns(schema, columns.len()));
        }
    }
    Ok(Shapes { tables, by_number })
}

/// The table as it was when it had only its first columns.
fn first_columns(schema: &Arc<TableSchema>, count: usize) -> Arc<TableSchema> {
    if count == schema.columns.len() {
        return Arc::clone(schema);
    }
    let within = |places: &Vec<usize>| places.iter().all(|place| *place < count);
    let mut earlier = TableSchema::clone(schema);
    earlier.columns.truncate(count);
    earlier.uniques.retain(within);
    earlier.referenced.retain(within);
    earlier
        .references
        .retain(|reference| within(&reference.columns));
    if !within(&earlier.order_key) {
        earlier.order_key = earlier.key.clone();
    }
    Arc::new(earlier.sealed())
}

fn names_of(json: &str) -> Vec<String> {
    // Written by `make` only; an unreadable list is no prefix of any table and so refused.
    serde_json::from_str(json).unwrap_or_else(|_| vec![String::new()])
}
