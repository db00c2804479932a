//! The statements' text and the values of their marks.

use std::borrow::Cow;

use keylane_core::model::Value;
use keylane_core::reconcile::{Key, Kind, Mend, Paired, Range, TablePlan, Told, Which};

use super::super::names::quoted;

fn name(which: Which, column: &Paired) -> String {
    quoted(which.column(column))
}

/// A side's table in SQL: a file has no schemas.
pub(super) fn table(which: Which, plan: &TablePlan) -> String {
    quoted(&which.table(plan).name)
}

/// All columns of a plan.
fn columns(which: Which, plan: &TablePlan) -> String {
    let names: Vec<String> = plan.columns.iter().map(|it| name(which, it)).collect();
    names.join(", ")
}

/// The rows of a range in the key's order, and the values of its marks.
pub(super) fn scan<'a>(
    which: Which,
    plan: &TablePlan,
    filter: Option<&str>,
    range: &'a Range,
    rows_max: usize,
) -> (String, Vec<Cow<'a, Value>>) {
    let key = || plan.columns.iter().take(plan.key);
    let order: Vec<String> = key().map(|it| ordered(which, it)).collect();
    let order = order.join(", ");
    let marks = vec!["?"; plan.key].join(", ");
    let mut values = Vec::new();
    let mut wanted = Vec::new();
    for (bound, sign) in [(&range.after, ">"), (&range.up_to, "<=")] {
        if let Some(bound) = bound {
            wanted.push(format!("({order}) {sign} ({marks})"));
            values.extend(key().zip(bound).map(|(it, value)| mark(it, value)));
        }
    }
    wanted.extend(filter.map(|filter| format!("({filter})")));
    let wanted = match wanted.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", wanted.join(" AND ")),
    };
    let sql = format!(
        "SELECT {} FROM {}{wanted} ORDER BY {order} LIMIT {rows_max}",
        columns(which, plan),
        table(which, plan),
    );
    (sql, values)
}

/// The row of a key.
pub(super) fn row(which: Which, plan: &TablePlan, filter: Option<&str>) -> String {
    let key = plan.columns.iter().take(plan.key);
    let wanted: Vec<String> = key
        .map(|it| format!("{} = ?", ordered(which, it)))
        .collect();
    let filter = filter.map_or_else(String::new, |filter| format!(" AND ({filter})"));
    format!(
        "SELECT {} FROM {} WHERE {}{filter}",
        columns(which, plan),
        table(which, plan),
        wanted.join(" AND "),
    )
}

/// A row's write at the replica, and the values of its marks.
pub(super) fn write(plan: &TablePlan, write: &Mend) -> (String, Vec<Value>) {
    let table = table(Which::Replica, plan);
    let name = |place: &usize| {
        let column = plan.columns.get(*place);
        column.map_or_else(String::new, |it| name(Which::Replica, it))
    };
    let found = |key: &Key| -> (String, Vec<Value>) {
        let columns = plan.columns.iter().take(plan.key);
        let wanted = columns.map(|it| format!("{} = ?", ordered(Which::Replica, it)));
        let wanted: Vec<String> = wanted.collect();
        let marks = plan.columns.iter().zip(key);
        let marks = marks.map(|(it, value)| mark(it, value).into_owned());
        (wanted.join(" AND "), marks.collect())
    };
    match write {
        Mend::Delete(key) => {
            let (wanted, marks) = found(key);
            (format!("DELETE FROM {table} WHERE {wanted}"), marks)
        }
        Mend::Update { key, row, columns } => {
            let set: Vec<String> = columns
                .iter()
                .map(|at| format!("{} = ?", name(at)))
                .collect();
            let mut values: Vec<Value> = columns
                .iter()
                .map(|place| row.get(*place).cloned().unwrap_or(Value::Null))
                .collect();
            let (wanted, marks) = found(key);
            values.extend(marks);
            let set = set.join(", ");
            (format!("UPDATE {table} SET {set} WHERE {wanted}"), values)
        }
        Mend::Insert(row) => {
            let (places, values): (Vec<usize>, Vec<Value>) =
                Mend::written(plan, row).into_iter().unzip();
            let names: Vec<String> = places.iter().map(name).collect();
            let marks = vec!["?"; values.len()].join(", ");
            let names = names.join(", ");
            (
                format!("INSERT INTO {table} ({names}) VALUES ({marks})"),
                values,
            )
        }
    }
}

/// A key's value as this side is asked for it.
pub(super) fn mark<'a>(column: &Paired, value: &'a Value) -> Cow<'a, Value> {
    match (value, column.told) {
        // The other side told it as text.
        (Value::Text(text), Told::Spelt(kind)) if is_number(kind) => {
            Cow::Owned(Value::Number(text.clone()))
        }
        _ => Cow::Borrowed(value),
    }
}

/// Keys are put in order by their bytes, as the other side puts them; numbers by value also where the column would keep them as text.
fn ordered(which: Which, column: &Paired) -> String {
    let name = name(which, column);
    match column.told {
        Told::Spelt(kind) if is_number(kind) && !keeps_numbers(which.type_name(column)) => {
            format!("CAST({name} AS NUMERIC)")
        }
        _ => format!("{name} COLLATE BINARY"),
    }
}

fn is_number(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Integer | Kind::Decimal(_) | Kind::Float32 | Kind::Float64 | Kind::Boolean
    )
}

/// By SQLite's rules of affinity (datatype3, section 3.1): whether a column of this declared type keeps a number as a number.
fn keeps_numbers(declared: &str) -> bool {
    let upper = declared.to_ascii_uppercase();
    let is = |part: &str| upper.contains(part);
    is("INT") || !(is("CHAR") || is("CLOB") || is("TEXT"))
}

#[cfg(test)]
mod tests {
    use super::keeps_numbers;

    #[test]
    fn a_declared_type_says_whether_numbers_stay_numbers() {
        for (declared, keeps) in [
            ("INTEGER", true),
            ("bigint", true),
            ("", true),
            ("BLOB", true),
            ("NUMERIC(10,2)", true),
            ("double precision", true),
            ("TEXT", false),
            ("varchar(20)", false),
            ("CHARINT", true),
        ] {
            assert_eq!(keeps_numbers(declared), keeps, "{declared}");
        }
    }
}
