//! The triggers' text. Cells go into the change table as they are, in columns without a type: SQLite keeps their storage class there, to the bit, with any
//! version of its library and without a word of encoding.

use keylane_core::model::TableSchema;

use super::super::names::quoted;

/// Now, in microseconds since 1970, to the millisecond; in words that every SQLite since 3.0 knows.
pub(super) const NOW_US: &str =
    "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000";

/// A trigger: its name and the whole statement that makes it.
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) sql: String,
}

/// The triggers of a table whose rows are written under a shape's number: three, or of an outbox the first.
pub(super) fn of_table(schema: &TableSchema, shape: i64, is_outbox: bool) -> Vec<Trigger> {
    let kinds = [
        ("insert", "i", &["NEW"][..]),
        ("update", "u", &["OLD", "NEW"][..]),
        ("delete", "d", &["OLD"][..]),
    ];
    kinds
        .into_iter()
        .take(if is_outbox { 1 } else { 3 })
        .map(|(event, op, rows)| {
            let name = format!("keylane_{event}_{}", schema.table.name);
            let cells: Vec<String> = rows
                .iter()
                .flat_map(|row| {
                    let columns = schema.columns.iter();
                    columns.map(move |column| format!("{row}.{}", quoted(&column.name)))
                })
                .collect();
            let sql = format!(
                "CREATE TRIGGER {} AFTER {} ON {} BEGIN INSERT INTO keylane_change (shape, op, at_us, {}) VALUES ({shape}, '{op}', {NOW_US}, {}); END",
                quoted(&name),
                event.to_uppercase(),
                quoted(&schema.table.name),
                cell_names(cells.len()),
                cells.join(", "),
            );
            Trigger { name, sql }
        })
        .collect()
}

/// An insert for each row that an outbox holds before it has its trigger: nobody else will tell of them.
pub(super) fn rows_before(schema: &TableSchema, shape: i64) -> String {
    let names: Vec<String> = schema
        .columns
        .iter()
        .map(|column| quoted(&column.name))
        .collect();
    format!(
        "INSERT INTO keylane_change (shape, op, at_us, {}) SELECT {shape}, 'i', {NOW_US}, {} FROM {} WHERE parked IS NULL ORDER BY seq",
        cell_names(names.len()),
        names.join(", "),
        quoted(&schema.table.name),
    )
}

/// A change for each row that holds something in a column added since: the row before without it, the row after with it.
pub(super) fn backfill(schema: &TableSchema, shape: i64, known: usize) -> String {
    let names: Vec<String> = schema
        .columns
        .iter()
        .map(|column| quoted(&column.name))
        .collect();
    let before = names
        .iter()
        .enumerate()
        .map(|(index, name)| if index < known { name } else { "NULL" }.to_owned());
    let cells: Vec<String> = before.chain(names.iter().cloned()).collect();
    let holds: Vec<String> = names
        .iter()
        .skip(known)
        .map(|name| format!("{name} IS NOT NULL"))
        .collect();
    format!(
        "INSERT INTO keylane_change (shape, op, at_us, {}) SELECT {shape}, 'u', {NOW_US}, {} FROM {} WHERE {}",
        cell_names(cells.len()),
        cells.join(", "),
        quoted(&schema.table.name),
        holds.join(" OR "),
    )
}

/// `v0, v1, …`: the change table's columns for cells.
pub(super) fn cell_names(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|index| format!("v{index}")).collect();
    names.join(", ")
}
