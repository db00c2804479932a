//! Tables at the replica: described, and created after the origin's.

use keylane_core::apply::{ReplicaColumn, ReplicaTable};
use keylane_core::model::{Column, TableName, TableSchema};
use rusqlite::Connection;

use super::super::names::replica_name;
use super::super::names::{MAIN, list, quoted};
use super::super::table::columns;

/// A table as it is; `None` if it is not there.
pub(super) fn describe(
    connection: &Connection,
    table: &TableName,
) -> rusqlite::Result<Option<ReplicaTable>> {
    let (columns, key) = columns(connection, &replica_name(table))?;
    if columns.is_empty() {
        return Ok(None);
    }
    let name = |place: &usize| columns.get(*place).map(|column| column.name.to_string());
    Ok(Some(ReplicaTable {
        table: table.clone(),
        key: key.iter().filter_map(name).collect(),
        columns: columns
            .iter()
            .map(|column| ReplicaColumn {
                name: column.name.to_string(),
                type_name: column.type_name.to_string(),
                nullable: column.nullable,
                generated: column.generated,
            })
            .collect(),
    }))
}

/// Creates the table with its key, or adds the columns it lacks. Secondary constraints and foreign keys are not created: the origin keeps them, and a
/// replica without them never waits for another lane's row.
pub(super) fn create(connection: &Connection, schema: &TableSchema) -> rusqlite::Result<()> {
    let name = quoted(&replica_name(&schema.table));
    let (there, _) = columns(connection, &replica_name(&schema.table))?;
    let own = schema.columns.iter().filter(|column| !column.generated);
    if there.is_empty() {
        let mut parts: Vec<String> = own.map(|column| declared(schema, column, true)).collect();
        if schema.has_key() {
            let key = schema
                .key
                .iter()
                .filter_map(|place| schema.columns.get(*place));
            parts.push(format!(
                "PRIMARY KEY ({})",
                list(key.map(|column| &*column.name))
            ));
        }
        return connection.execute_batch(&format!("CREATE TABLE {name} ({})", parts.join(", ")));
    }
    let missing = own.filter(|column| {
        !there
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(&column.name))
    });
    for column in missing {
        // Rows that are there have no value for it yet.
        let column = declared(schema, column, false);
        connection.execute_batch(&format!("ALTER TABLE {name} ADD COLUMN {column}"))?;
    }
    Ok(())
}

fn declared(schema: &TableSchema, column: &Column, constrained: bool) -> String {
    let type_name = if &*schema.table.schema == MAIN {
        own_words(&column.type_name)
    } else {
        affinity_of_postgres(&column.type_name)
    };
    let not_null = if constrained && !column.nullable {
        " NOT NULL"
    } else {
        ""
    };
    format!("{} {type_name}{not_null}", quoted(&column.name))
}

/// SQLite's declared type is any words; only what is surely no more than that is taken over. Records come from a log that others may write too.
fn own_words(type_name: &str) -> &str {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " _(),.-+".contains(letter);
    let (mut depth, mut sound) = (0_i32, type_name.chars().all(plain));
    for letter in type_name.chars() {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        sound &= depth >= 0 && (depth > 0 || letter != ',');
    }
    if sound && depth == 0 {
        type_name
    } else {
        "BLOB"
    }
}

/// A column that keeps PostgreSQL's text as it is: only what SQLite holds exactly is a number.
fn affinity_of_postgres(type_name: &str) -> &'static str {
    match type_name.split('(').next().unwrap_or_default().trim() {
        "smallint" | "integer" | "bigint" | "int2" | "int4" | "int8" | "oid" | "boolean"
        | "bool" => "INTEGER",
        "real" | "double precision" | "float4" | "float8" => "REAL",
        _ => "TEXT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_never_ends_the_column() {
        for (words, expect) in [
            ("DECIMAL(10,2)", "DECIMAL(10,2)"),
            ("VARYING CHARACTER (20)", "VARYING CHARACTER (20)"),
            ("", ""),
            ("TEXT); DROP TABLE a; --", "BLOB"),
            ("TEXT, b INT", "BLOB"),
            ("TEXT DEFAULT 'x'", "BLOB"),
            ("a)(b", "BLOB"),
        ] {
            assert_eq!(own_words(words), expect, "{words}");
        }
    }
}
