//! Reads of a file, one after another.

use keylane_core::model::{Row, TableName};
use keylane_core::reconcile::{
    EncodedRow, Key, Kind, Range, Scanned, SideColumn, SideTable, TablePlan, Told, Which, push_cell,
};
use rusqlite::{Connection, params_from_iter};

use super::super::cell::{Bound, value_of};
use super::super::names::quoted;
use super::super::table;
use super::sql;

/// The table; `None` if it is not there.
pub(super) fn shape(
    connection: &Connection,
    name: &TableName,
) -> rusqlite::Result<Option<SideTable>> {
    let (columns, key) = table::columns(connection, &name.name)?;
    if columns.is_empty() {
        return Ok(None);
    }
    let named = |place: &usize| columns.get(*place).map(|column| column.name.clone());
    Ok(Some(SideTable {
        name: name.clone(),
        key: key.iter().filter_map(named).collect(),
        columns: columns
            .iter()
            .map(|column| SideColumn {
                name: column.name.clone(),
                type_name: column.type_name.clone(),
                collation: None,
                generated: column.generated,
            })
            .collect(),
    }))
}

/// How many rows there are.
pub(super) fn count(
    connection: &Connection,
    name: &TableName,
    filter: Option<&str>,
) -> rusqlite::Result<u64> {
    let wanted = filter.map_or_else(String::new, |filter| format!(" WHERE ({filter})"));
    let sql = format!("SELECT count(*) FROM {}{wanted}", quoted(&name.name));
    let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The highest row number, which is found at once; tables without row numbers tell nothing.
pub(super) fn highest(connection: &Connection, name: &TableName) -> Option<u64> {
    let sql = format!("SELECT max(rowid) FROM {}", quoted(&name.name));
    let highest: Option<i64> = connection.query_row(&sql, [], |row| row.get(0)).ok()?;
    u64::try_from(highest?).ok()
}

/// Rows of a range.
pub(super) fn scan(
    connection: &Connection,
    which: Which,
    plan: &TablePlan,
    filter: Option<&str>,
    range: &Range,
    (rows_max, bytes_max): (usize, usize),
) -> rusqlite::Result<Scanned> {
    let (sql, values) = sql::scan(which, plan, filter, range, rows_max);
    let mut statement = connection.prepare_cached(&sql)?;
    let marks = values.iter().map(|value| Bound(value));
    let mut found = statement.query(params_from_iter(marks))?;
    let mut scanned = Scanned::default();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        if bytes >= bytes_max {
            scanned.cut = true;
            return Ok(scanned);
        }
        let mut cells = Vec::new();
        for (place, column) in plan.columns.iter().enumerate() {
            let kind = match column.told {
                Told::Spelt(kind) => kind,
                Told::Binary | Told::Trimmed | Told::Text => Kind::AsStored,
            };
            let value = value_of(row.get_ref(place)?);
            push_cell(&mut cells, kind.spell(&value).as_deref());
        }
        let row = EncodedRow(cells.into());
        bytes += row.size_bytes();
        scanned.rows.push(row);
    }
    scanned.cut = scanned.rows.len() >= rows_max;
    Ok(scanned)
}

/// Rows by their keys, of one moment.
pub(super) fn rows(
    connection: &mut Connection,
    which: Which,
    plan: &TablePlan,
    filter: Option<&str>,
    keys: &[Key],
) -> rusqlite::Result<Vec<Row>> {
    let transaction = connection.transaction()?;
    let rows = rows_within(&transaction, which, plan, filter, keys)?;
    transaction.commit()?;
    Ok(rows)
}

/// As [`rows`], within a transaction that is open.
pub(super) fn rows_within(
    connection: &Connection,
    which: Which,
    plan: &TablePlan,
    filter: Option<&str>,
    keys: &[Key],
) -> rusqlite::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut statement = connection.prepare_cached(&sql::row(which, plan, filter))?;
    for key in keys {
        let marks: Vec<_> = plan
            .columns
            .iter()
            .zip(key)
            .map(|(column, value)| sql::mark(column, value))
            .collect();
        let marks = marks.iter().map(|value| Bound(value));
        let mut found = statement.query(params_from_iter(marks))?;
        while let Some(row) = found.next()? {
            let cells = (0..plan.columns.len()).map(|place| Ok(value_of(row.get_ref(place)?)));
            rows.push(cells.collect::<rusqlite::Result<Row>>()?);
        }
    }
    Ok(rows)
}
