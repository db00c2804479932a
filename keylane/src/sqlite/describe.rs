//! A file's tables as a plan of topics asks for them: keys and foreign keys. SQLite counts no changes, so there are no rates.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keylane_core::model::TableName;
use keylane_core::topics::{self, BeforeImage};
use rusqlite::{Connection, OpenFlags};

use super::names::{MAIN, quoted};
use super::table::{self, TableKind};

/// The longest that a writer is waited for.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// All tables that a pipeline could carry, by name. Blocks; changes nothing.
///
/// # Errors
/// What SQLite says.
pub fn describe(path: &Path) -> rusqlite::Result<Vec<topics::Table>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    let references = table::foreign_keys(&connection)?;
    let all = table::all(&connection)?;
    let plain = all.iter().filter(|(_, kind)| **kind == TableKind::Plain);
    plain
        .map(|(name, _)| described(&connection, name, &references))
        .collect()
}

fn described(
    connection: &Connection,
    name: &Arc<str>,
    references: &[table::Reference],
) -> rusqlite::Result<topics::Table> {
    let (columns, key) = table::columns(connection, name)?;
    let is_required = |own: &str| {
        let mut columns = columns.iter();
        columns.any(|column| column.name.eq_ignore_ascii_case(own) && !column.nullable)
    };
    let true_name = |own: &str| {
        let found = columns.iter().find(|it| it.name.eq_ignore_ascii_case(own));
        found.map_or_else(|| own.into(), |column| column.name.clone())
    };
    let reference = |reference: &table::Reference| {
        let of_parent = reference.columns.iter().map(|(_, of)| of.as_deref());
        let of_parent: Option<Vec<Arc<str>>> = of_parent.map(|of| of.map(Arc::from)).collect();
        Some(topics::Reference {
            columns: reference
                .columns
                .iter()
                .map(|(own, _)| true_name(own))
                .collect(),
            parent: TableName::new(MAIN, reference.parent.clone()),
            parent_columns: of_parent?,
            required: reference.columns.iter().all(|(own, _)| is_required(own)),
            cascades: reference.cascades,
        })
    };
    // The highest row id is found at once, where counting reads the table; tables without row ids tell nothing.
    let highest = format!("SELECT coalesce(max(rowid), 0) FROM {}", quoted(name));
    let rows: Option<i64> = connection.query_row(&highest, [], |row| row.get(0)).ok();
    let own = references.iter().filter(|it| it.child == *name);
    Ok(topics::Table {
        name: TableName::new(MAIN, name.clone()),
        references: own.filter_map(reference).collect(),
        key: key
            .iter()
            .filter_map(|place| Some(columns.get(*place)?.name.clone()))
            .collect(),
        // The triggers keep the whole row.
        before: BeforeImage::Whole,
        rows: rows.and_then(|rows| u64::try_from(rows).ok()),
        rate: None,
    })
}
