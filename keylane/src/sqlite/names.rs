//! Names in SQL: quoted, and which are Keylane's own.

use keylane_core::model::TableName;

/// The schema that all tables of a SQLite file are in.
pub(super) const MAIN: &str = "main";

/// A name as SQL writes it, whatever it holds.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names, quoted, with a comma between.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(quoted).collect();
    quoted.join(", ")
}

/// The name that an origin's table has in a SQLite replica: a file has no schemas.
pub fn replica_name(table: &TableName) -> String {
    match &*table.schema {
        "" | "main" | "public" => table.name.to_string(),
        schema => format!("{schema}.{}", table.name),
    }
}

/// Whether a table is SQLite's or Keylane's own, and so never captured.
pub(super) fn is_reserved(table: &str) -> bool {
    let lower = table.to_ascii_lowercase();
    lower.starts_with("sqlite_") || lower.starts_with("keylane_")
}

/// The name by which a table's hidden row number can be had; `None` if columns hide all three.
pub(super) fn rowid_name<'a>(
    columns: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'static str> {
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| {
        !columns
            .clone()
            .any(|column| column.eq_ignore_ascii_case(name))
    })
}
