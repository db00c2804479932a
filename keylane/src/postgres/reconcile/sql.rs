//! The statements' text. Rows are compared as wholes, so that an index on the key serves.

use keylane_core::model::{TableName, Value};
use keylane_core::reconcile::{Key, Kind, Mend, Paired, Range, TablePlan, Told, Which};
use postgres_protocol::escape::{escape_identifier, escape_literal};

/// The column of table `t`, said in full: a name alone would be that of what is selected, which may be the column's text.
fn name(which: Which, column: &Paired) -> String {
    format!("t.{}", escape_identifier(which.column(column)))
}

/// A side's table in SQL.
pub(super) fn table(which: Which, plan: &TablePlan) -> String {
    quoted_table(which.table(plan))
}

/// A table's name in SQL.
pub(super) fn quoted_table(name: &TableName) -> String {
    let (schema, name) = (
        escape_identifier(&name.schema),
        escape_identifier(&name.name),
    );
    format!("{schema}.{name}")
}

/// The rows of a range as the plan has them told, with the filter and in the key's order.
pub(super) fn scan(
    which: Which,
    plan: &TablePlan,
    filter: Option<&str>,
    range: &Range,
    rows_max: usize,
) -> String {
    let told: Vec<String> = plan.columns.iter().map(|it| told(which, it)).collect();
    format!(
        "COPY (SELECT {} FROM {} t{} ORDER BY {} LIMIT {rows_max}) TO STDOUT (FORMAT binary)",
        told.join(", "),
        table(which, plan),
        within(which, plan, filter, range),
        order(which, plan),
    )
}

/// The key of a range's row of this number, from 1.
pub(super) fn key_at(
    which: Which,
    plan: &TablePlan,
    filter: Option<&str>,
    range: &Range,
    row: usize,
) -> String {
    let key: Vec<String> = key(plan).map(|it| name(which, it)).collect();
    format!(
        "SELECT {} FROM {} t{} ORDER BY {} OFFSET {} LIMIT 1",
        key.join(", "),
        table(which, plan),
        within(which, plan, filter, range),
        order(which, plan),
        row.saturating_sub(1),
    )
}

/// The number of a range's rows and the sums over both halves of their digests. `OFFSET 0` keeps each digest from being made twice.
pub(super) fn checksum(
    which: Which,
    plan: &TablePlan,
    filter: Option<&str>,
    range: &Range,
) -> String {
    let cells = plan.columns.iter().map(|it| {
        let text = match it.told {
            Told::Trimmed => format!("trim_scale({})::text", name(which, it)),
            Told::Binary | Told::Text | Told::Spelt(_) => format!("{}::text", name(which, it)),
        };
        format!("coalesce(octet_length({text}) || ':' || {text}, '-')")
    });
    let cells: Vec<String> = cells.collect();
    let sum = |half: &str| format!("coalesce(sum(('x' || {half})::bit(60)::int8), 0)");
    format!(
        "SELECT count(*), {}, {} FROM (SELECT md5(convert_to({}, 'UTF8')) AS digest FROM {} t{} OFFSET 0) digests",
        sum("left(digest, 15)"),
        sum("right(digest, 15)"),
        cells.join(" || "),
        table(which, plan),
        within(which, plan, filter, range),
    )
}

fn key(plan: &TablePlan) -> impl Iterator<Item = &Paired> {
    plan.columns.iter().take(plan.key)
}

fn order(which: Which, plan: &TablePlan) -> String {
    let order: Vec<String> = key(plan).map(|it| ordered(which, it)).collect();
    order.join(", ")
}

/// What a row of the range must be, as a clause.
fn within(which: Which, plan: &TablePlan, filter: Option<&str>, range: &Range) -> String {
    let bound = |values: &Key| -> String {
        let values = key(plan).zip(values);
        let values: Vec<String> = values
            .map(|(it, value)| literal(which, it, value))
            .collect();
        values.join(", ")
    };
    let order = order(which, plan);
    let mut wanted = Vec::new();
    if let Some(after) = &range.after {
        wanted.push(format!("({order}) > ({})", bound(after)));
    }
    if let Some(up_to) = &range.up_to {
        wanted.push(format!("({order}) <= ({})", bound(up_to)));
    }
    wanted.extend(filter.map(|filter| format!("({filter})")));
    match wanted.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", wanted.join(" AND ")),
    }
}

/// Rows by their keys, each column in its type's own text.
pub(super) fn rows(which: Which, plan: &TablePlan, filter: Option<&str>, keys: &[Key]) -> String {
    let key: Vec<&Paired> = key(plan).collect();
    let wanted = keys.iter().map(|values| {
        let values = key.iter().zip(values);
        let values: Vec<String> = values
            .map(|(it, value)| cast(value, which.type_name(it)))
            .collect();
        format!("({})", values.join(", "))
    });
    let wanted: Vec<String> = wanted.collect();
    let joined = (1..=key.len())
        .zip(&key)
        .map(|(place, it)| format!("{} = k.column{place}", name(which, it)));
    let joined: Vec<String> = joined.collect();
    let columns: Vec<String> = plan.columns.iter().map(|it| name(which, it)).collect();
    let filter = filter.map_or_else(String::new, |filter| format!(" WHERE ({filter})"));
    format!(
        "SELECT {} FROM {} t JOIN (VALUES {}) k ON {}{filter}",
        columns.join(", "),
        table(which, plan),
        wanted.join(", "),
        joined.join(" AND "),
    )
}

/// A row's write at the replica.
pub(super) fn write(plan: &TablePlan, write: &Mend) -> String {
    let table = table(Which::Replica, plan);
    let name = |place: &usize| {
        plan.columns
            .get(*place)
            .map_or_else(String::new, column_name)
    };
    let value = |place: usize, value: &Value| {
        let column = plan.columns.get(place);
        column.map_or_else(String::new, |it| cast(value, Which::Replica.type_name(it)))
    };
    let found = |key: &Key| -> String {
        let wanted = plan.columns.iter().zip(key).enumerate();
        let wanted = wanted
            .map(|(place, (it, of_key))| format!("{} = {}", column_name(it), value(place, of_key)));
        wanted.collect::<Vec<_>>().join(" AND ")
    };
    match write {
        Mend::Delete(key) => format!("DELETE FROM {table} WHERE {}", found(key)),
        Mend::Update { key, row, columns } => {
            let set = columns.iter().filter_map(|place| {
                Some(format!(
                    "{} = {}",
                    name(place),
                    value(*place, row.get(*place)?)
                ))
            });
            let set: Vec<String> = set.collect();
            format!("UPDATE {table} SET {} WHERE {}", set.join(", "), found(key))
        }
        Mend::Insert(row) => {
            let written = Mend::written(plan, row);
            let names: Vec<String> = written.iter().map(|(place, _)| name(place)).collect();
            let values: Vec<String> = written
                .iter()
                .map(|(place, it)| value(*place, it))
                .collect();
            // A key that an identity column would count is written as the origin has it.
            format!(
                "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
                names.join(", "),
                values.join(", ")
            )
        }
    }
}

/// A column of the replica, alone.
fn column_name(column: &Paired) -> String {
    escape_identifier(&column.replica_name)
}

fn told(which: Which, column: &Paired) -> String {
    let name = name(which, column);
    match column.told {
        Told::Binary => name,
        Told::Trimmed => format!("trim_scale({name})"),
        Told::Text | Told::Spelt(_) => format!("{name}::text"),
    }
}

/// How a key's column is put in order, so that both sides have one order.
fn ordered(which: Which, column: &Paired) -> String {
    let name = name(which, column);
    match (column.by_bytes, which.kind(column)) {
        (true, Kind::Text | Kind::Padded | Kind::Caseless) => format!("{name} COLLATE \"C\""),
        (true, Kind::Other | Kind::JsonMeaning) => format!("{name}::text COLLATE \"C\""),
        _ => name,
    }
}

fn literal(which: Which, column: &Paired, value: &Value) -> String {
    match (column.by_bytes, which.kind(column)) {
        (true, Kind::Other | Kind::JsonMeaning) => cast(value, "text"),
        _ => cast(value, which.type_name(column)),
    }
}

/// By the type without a modifier: a cast to `varchar(5)` cuts.
fn cast(value: &Value, type_name: &str) -> String {
    let bare = match type_name.split_once('(') {
        None => type_name.to_owned(),
        Some((name, rest)) => {
            let behind = rest.split_once(')').map_or("", |(_, behind)| behind);
            format!("{name}{behind}")
        }
    };
    // Without a length these are of length 1.
    let bare = match &*bare {
        "character" => "bpchar",
        "bit" => "varbit",
        bare => bare,
    };
    match value.as_sql_text() {
        None => format!("NULL::{bare}"),
        Some(text) => format!("{}::{bare}", escape_literal(&text)),
    }
}
