//! Whether a replica's table takes what the origin's table tells. Pure.

use keylane::preflight::Finding;
use keylane_core::apply::{ReplicaColumn, ReplicaTable};
use keylane_core::model::{Column, TableSchema};

/// What is compared, and what `run` would do by itself.
#[derive(Clone, Copy, Debug)]
pub struct Fitting {
    /// Whether `run` creates the tables and columns that the replica lacks.
    pub creates: bool,
    /// Whether both sides are PostgreSQL, so that types can be compared by their names.
    pub same_kind: bool,
}

/// The checks of one table; `there` is the replica's table, `None` if it has none.
pub fn fits(fitting: Fitting, schema: &TableSchema, there: Option<&ReplicaTable>) -> Vec<Finding> {
    let subject = format!("replica table {}", schema.table);
    let Some(there) = there else {
        return vec![if fitting.creates {
            Finding::passed(
                "replica.table",
                subject,
                "not there; it is created at the start",
            )
        } else {
            Finding::failed(
                "replica.table",
                subject,
                "not there, and apply.create_tables is off",
                match fitting.same_kind {
                    true => format!(
                        "run at the replica: {} (or set apply.create_tables: true)",
                        create_sql(schema)
                    ),
                    false => format!(
                        "create it at the replica, with {}; or set apply.create_tables: true",
                        column_list(schema)
                    ),
                },
            )
        }];
    };
    let mut checks = Vec::new();
    for column in schema.columns.iter().filter(|column| !column.generated) {
        let found = there
            .columns
            .iter()
            .find(|other| *other.name == *column.name);
        checks.extend(column_check(fitting, schema, column, found));
    }
    checks.extend(key_check(fitting, &subject, schema, there));
    checks.extend(surplus_check(&subject, schema, there));
    if checks.is_empty() {
        let columns = there.columns.len();
        checks.push(Finding::passed(
            "replica.table",
            subject,
            format!("{columns} columns, as needed"),
        ));
    }
    checks
}

fn column_list(schema: &TableSchema) -> String {
    let columns: Vec<String> = schema
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.type_name))
        .collect();
    format!("columns {}", columns.join(", "))
}

fn create_sql(schema: &TableSchema) -> String {
    let column = |column: &Column| {
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        format!("{} {}{not_null}", quoted(&column.name), column.type_name)
    };
    let told = schema.columns.iter().filter(|column| !column.generated);
    let mut parts: Vec<String> = told.map(column).collect();
    if schema.has_key() {
        parts.push(format!("PRIMARY KEY ({})", key_sql(schema)));
    }
    format!("CREATE TABLE {} ({});", table_sql(schema), parts.join(", "))
}

/// The origin's row key, in its order.
fn key_sql(schema: &TableSchema) -> String {
    let columns = schema
        .key
        .iter()
        .filter_map(|index| schema.columns.get(*index));
    let names: Vec<String> = columns.map(|column| quoted(&column.name)).collect();
    names.join(", ")
}

fn table_sql(schema: &TableSchema) -> String {
    let table = &schema.table;
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn column_check(
    fitting: Fitting,
    schema: &TableSchema,
    column: &Column,
    found: Option<&ReplicaColumn>,
) -> Option<Finding> {
    let subject = format!("replica column {}.{}", schema.table, column.name);
    let Some(found) = found else {
        let add = format!(
            "ALTER TABLE {} ADD COLUMN {} {};",
            table_sql(schema),
            quoted(&column.name),
            column.type_name
        );
        return (!fitting.creates).then(|| {
            Finding::failed(
                "replica.column",
                subject,
                "not there, and apply.create_tables is off",
                format!("run at the replica: {add} (or set apply.create_tables: true)"),
            )
        });
    };
    if found.generated {
        return Some(Finding::failed(
            "replica.column",
            subject,
            "is computed by the replica, and the origin tells values for it",
            "make it a plain column at the replica",
        ));
    }
    if column.nullable && !found.nullable {
        return Some(
            Finding::failed(
                "replica.not_null",
                subject,
                "is NOT NULL, and the origin's may hold NULL: such rows would be parked",
                match fitting.same_kind {
                    true => format!(
                        "run at the replica: ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL;",
                        table_sql(schema),
                        quoted(&column.name)
                    ),
                    false => "let the replica's column hold NULL".to_owned(),
                },
            )
            .warning(),
        );
    }
    fitting
        .same_kind
        .then(|| type_check(subject, schema, column, found))
        .flatten()
}

/// Whether the replica's type holds every value of the origin's.
fn type_check(
    subject: String,
    schema: &TableSchema,
    column: &Column,
    found: &ReplicaColumn,
) -> Option<Finding> {
    match compare(&column.type_name, &found.type_name) {
        Width::Holds => None,
        Width::Narrower => Some(Finding::failed(
            "replica.type",
            subject,
            format!(
                "is {}, narrower than the origin's {}: rows that do not fit would be parked",
                found.type_name, column.type_name
            ),
            format!(
                "run at the replica: ALTER TABLE {} ALTER COLUMN {} TYPE {};",
                table_sql(schema),
                quoted(&column.name),
                column.type_name
            ),
        )),
        Width::Unknown => Some(
            Finding::failed(
                "replica.type",
                subject,
                format!(
                    "is {}, the origin's is {}",
                    found.type_name, column.type_name
                ),
                "make sure that every value of the origin reads back the same there",
            )
            .warning(),
        ),
    }
}

/// Upserts and deletes find rows by the origin's key.
fn key_check(
    fitting: Fitting,
    subject: &str,
    schema: &TableSchema,
    there: &ReplicaTable,
) -> Option<Finding> {
    if !schema.has_key() {
        return None;
    }
    let mut wanted: Vec<&str> = schema
        .key
        .iter()
        .filter_map(|index| schema.columns.get(*index))
        .map(|column| &*column.name)
        .collect();
    let written = wanted.join(", ");
    let mend = match fitting.same_kind && there.key.is_empty() {
        true => format!(
            "run at the replica: ALTER TABLE {} ADD PRIMARY KEY ({});",
            table_sql(schema),
            key_sql(schema)
        ),
        false => format!("make the replica's table anew with PRIMARY KEY ({written})"),
    };
    let mut found: Vec<&str> = there.key.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    found.sort_unstable();
    (wanted != found).then(|| {
        let has = match there.key.is_empty() {
            true => "has no primary key".to_owned(),
            false => format!("has the primary key ({})", there.key.join(", ")),
        };
        Finding::failed(
            "replica.key",
            subject,
            format!("{has}, the origin's row key is ({written})"),
            mend,
        )
    })
}

/// A column that the origin does not tell must do without a value.
fn surplus_check(subject: &str, schema: &TableSchema, there: &ReplicaTable) -> Option<Finding> {
    let surplus: Vec<&str> = there
        .columns
        .iter()
        .filter(|column| !column.nullable && !column.generated)
        .filter(|column| schema.column_index(&column.name).is_none())
        .map(|column| column.name.as_str())
        .collect();
    (!surplus.is_empty()).then(|| {
        Finding::failed(
            "replica.surplus_column",
            subject,
            format!("has NOT NULL columns that the origin lacks: {}", surplus.join(", ")),
            "give them a default at the replica, or let them hold NULL; without either, inserts would be parked",
        )
        .warning()
    })
}

/// Whether a type holds all values of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Holds,
    Narrower,
    Unknown,
}

/// By PostgreSQL's own names of types.
fn compare(origin: &str, replica: &str) -> Width {
    if origin == replica {
        return Width::Holds;
    }
    let ((from, from_bounds), (to, to_bounds)) = (parse(origin), parse(replica));
    let integer = |name: &str| {
        ["smallint", "integer", "bigint"]
            .iter()
            .position(|known| *known == name)
    };
    let by = |holds: bool| if holds { Width::Holds } else { Width::Narrower };
    match (from.as_str(), to.as_str()) {
        (from, to) if is_text(from) && is_text(to) => {
            match (from_bounds.first(), to_bounds.first()) {
                (_, None) => Width::Holds,
                (None, Some(_)) => Width::Narrower,
                (Some(from), Some(to)) => by(to >= from),
            }
        }
        ("numeric", "numeric") => by(numeric_holds(&from_bounds, &to_bounds)),
        (from, "numeric") if integer(from).is_some() && to_bounds.is_empty() => Width::Holds,
        ("real", "double precision") => Width::Holds,
        ("double precision", "real") => Width::Narrower,
        (from, to) => match (integer(from), integer(to)) {
            (Some(from), Some(to)) => by(to >= from),
            _ if from == to && to_bounds.is_empty() => Width::Holds,
            _ if from == to => {
                by(to_bounds.first() >= from_bounds.first() && !from_bounds.is_empty())
            }
            _ => Width::Unknown,
        },
    }
}

fn is_text(name: &str) -> bool {
    matches!(name, "text" | "character varying" | "character")
}

/// Digits before and after the point.
fn numeric_holds(from: &[u32], to: &[u32]) -> bool {
    let parts = |bounds: &[u32]| {
        let precision = bounds.first().copied()?;
        let scale = bounds.get(1).copied().unwrap_or(0);
        Some((precision.saturating_sub(scale), scale))
    };
    match (parts(from), parts(to)) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(from), Some(to)) => to.0 >= from.0 && to.1 >= from.1,
    }
}

/// `timestamp(3) without time zone` → (`timestamp without time zone`, [3]).
fn parse(text: &str) -> (String, Vec<u32>) {
    let Some((before, rest)) = text.split_once('(') else {
        return (text.to_owned(), Vec::new());
    };
    let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
    let bounds = inside
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect();
    (format!("{before}{after}"), bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_compared_by_what_it_holds() {
        for (origin, replica, expect) in [
            ("integer", "integer", Width::Holds),
            ("integer", "bigint", Width::Holds),
            ("bigint", "integer", Width::Narrower),
            ("integer", "numeric", Width::Holds),
            ("character varying(20)", "text", Width::Holds),
            ("text", "character varying(20)", Width::Narrower),
            (
                "character varying(20)",
                "character varying(10)",
                Width::Narrower,
            ),
            ("numeric(10,2)", "numeric", Width::Holds),
            ("numeric(10,2)", "numeric(11,3)", Width::Holds),
            ("numeric(10,2)", "numeric(10,3)", Width::Narrower),
            (
                "timestamp(3) without time zone",
                "timestamp without time zone",
                Width::Holds,
            ),
            (
                "timestamp without time zone",
                "timestamp(3) without time zone",
                Width::Narrower,
            ),
            ("uuid", "text", Width::Unknown),
        ] {
            assert_eq!(compare(origin, replica), expect, "{origin} → {replica}");
        }
    }
}
