//! What the demo proves, and how it could fail: nothing here asks the engine.
//!
//! *Order*: triggers at both databases write a line for each row that is put or deleted (`demo_history`). A key's lines at the replica must lead strictly forward
//! through its lines at the origin. Lines may be left out, because several changes of a row in one transaction are written as one; none may come
//! twice, none may come after a later one, none may be without its like at the origin. *Equality*: every row of both databases is read in key order and
//! compared column by column with its storage class; a table without a key is compared as a multiset.

use std::cmp::Ordering;
use std::collections::HashMap;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Statement};

use super::shop::{TABLES, Table};

/// Violations and differences that are kept in words.
const EXAMPLES_MAX: usize = 10;

/// What the histories of both sides say about order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderVerdict {
    /// Lines of the replica's history that were checked.
    pub checked: u64,
    /// A version that was written again.
    pub repeats: u64,
    /// A version or a deletion that was written after a later one.
    pub steps_back: u64,
    /// What never happened at the origin.
    pub unknown: u64,
    /// Rows of the initial copy that were copied again after a kill, or after the stream had told them: no violation.
    pub copied_again: u64,
    /// The first violations, in words without row values.
    pub examples: Vec<String>,
}

impl OrderVerdict {
    /// All violations.
    pub fn violations(&self) -> u64 {
        self.repeats + self.steps_back + self.unknown
    }
}

/// What the comparison of both databases says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowVerdict {
    /// Rows compared: those of both sides, a row that is on both counted once.
    pub compared: u64,
    /// Rows that only the origin has.
    pub missing: u64,
    /// Rows that only the replica has.
    pub extra: u64,
    /// Rows that are on both sides with other columns.
    pub unequal: u64,
    /// The first differences, in words without row values.
    pub examples: Vec<String>,
}

impl RowVerdict {
    /// All differences.
    pub fn different(&self) -> u64 {
        self.missing + self.extra + self.unequal
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Put,
    Delete,
}

/// One line of a key's history.
#[derive(Clone, Copy, Debug)]
struct Line {
    version: i64,
    op: Op,
}

type Histories = HashMap<(String, String), Vec<Line>>;

/// Checks the replica's history against the origin's. `copied_up_to` is the highest version that the initial copy can have read: rows up to it may be copied twice.
///
/// # Errors
/// If a history cannot be read.
pub fn order(
    origin: &Connection,
    replica: &Connection,
    copied_up_to: i64,
) -> rusqlite::Result<OrderVerdict> {
    let origin = histories(origin)?;
    let mut verdict = OrderVerdict::default();
    for (key, lines) in histories(replica)? {
        let truth = origin.get(&key).map(Vec::as_slice).unwrap_or_default();
        let unkeyed = TABLES
            .iter()
            .any(|table| table.name == key.0 && table.key.is_empty());
        check_key(
            &key,
            truth,
            &lines,
            Copied {
                up_to: copied_up_to,
                unkeyed,
            },
            &mut verdict,
        );
    }
    Ok(verdict)
}

/// What the initial copy explains.
#[derive(Clone, Copy, Debug)]
struct Copied {
    up_to: i64,
    /// Of a table without a key: it is emptied before it is copied anew.
    unkeyed: bool,
}

fn check_key(
    key: &(String, String),
    truth: &[Line],
    lines: &[Line],
    copied: Copied,
    verdict: &mut OrderVerdict,
) {
    // Index behind the line of the truth that the replica has reached, and the version it wrote last.
    let (mut reached, mut last) = (0, None);
    for line in lines {
        verdict.checked += 1;
        let same = |other: &Line| {
            other.op == line.op && (line.op == Op::Delete || other.version == line.version)
        };
        let ahead = truth.iter().skip(reached).position(same);
        if let Some(ahead) = ahead {
            reached += ahead + 1;
        } else if line.version <= copied.up_to
            && (copied.unkeyed || (line.op == Op::Put && last == Some(line.version)))
        {
            verdict.copied_again += 1;
        } else {
            let happened = truth.iter().any(same);
            let (count, word) = match (happened, last == Some(line.version) && line.op == Op::Put) {
                (false, _) => (&mut verdict.unknown, "never happened at the origin"),
                (true, true) => (&mut verdict.repeats, "was written twice"),
                (true, false) => (&mut verdict.steps_back, "was written after a later one"),
            };
            *count += 1;
            if verdict.examples.len() < EXAMPLES_MAX {
                let what = if line.op == Op::Put {
                    "version"
                } else {
                    "the deletion of version"
                };
                verdict.examples.push(format!(
                    "{} {}: {what} {} {word}",
                    key.0, key.1, line.version
                ));
            }
        }
        last = (line.op == Op::Put).then_some(line.version);
    }
}

fn histories(database: &Connection) -> rusqlite::Result<Histories> {
    let mut statement =
        database.prepare("SELECT tbl, key, version, op FROM demo_history ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut found = Histories::new();
    while let Some(row) = rows.next()? {
        let op = if row.get_ref(3)? == ValueRef::Text(b"put") {
            Op::Put
        } else {
            Op::Delete
        };
        found
            .entry((row.get(0)?, row.get(1)?))
            .or_default()
            .push(Line {
                version: row.get(2)?,
                op,
            });
    }
    Ok(found)
}

/// Compares all tables of the shop, streaming both sides in key order.
///
/// # Errors
/// If a table cannot be read.
pub fn rows(origin: &Connection, replica: &Connection) -> rusqlite::Result<RowVerdict> {
    let mut verdict = RowVerdict::default();
    for table in TABLES {
        let columns = columns(origin, table)?;
        if columns != self::columns(replica, table)? {
            verdict.unequal += 1;
            verdict
                .examples
                .push(format!("{}: the columns are not the same", table.name));
            continue;
        }
        // In a table without a key a row is known by all it holds.
        let key: Vec<usize> = match table.key {
            [] => (0..columns.len()).collect(),
            key => key
                .iter()
                .filter_map(|name| columns.iter().position(|column| column == name))
                .collect(),
        };
        let order: Vec<String> = key.iter().map(|place| (place + 1).to_string()).collect();
        let query = format!(
            "SELECT {} FROM {} ORDER BY {}",
            columns.join(", "),
            table.name,
            order.join(", ")
        );
        let (mut origin, mut replica) = (origin.prepare(&query)?, replica.prepare(&query)?);
        merge(table, &key, &mut origin, &mut replica, &mut verdict)?;
    }
    Ok(verdict)
}

fn columns(database: &Connection, table: Table) -> rusqlite::Result<Vec<String>> {
    let statement = database.prepare(&format!("SELECT * FROM {}", table.name))?;
    Ok(statement.column_names().map(str::to_owned).collect())
}

fn merge(
    table: Table,
    key: &[usize],
    origin: &mut Statement<'_>,
    replica: &mut Statement<'_>,
    verdict: &mut RowVerdict,
) -> rusqlite::Result<()> {
    let width = origin.column_count();
    let (mut ours, mut theirs) = (origin.query([])?, replica.query([])?);
    let read = |rows: &mut rusqlite::Rows<'_>| -> rusqlite::Result<Option<Vec<Value>>> {
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        (0..width)
            .map(|place| row.get(place))
            .collect::<rusqlite::Result<_>>()
            .map(Some)
    };
    let (mut our, mut their) = (read(&mut ours)?, read(&mut theirs)?);
    loop {
        let order = match (&our, &their) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(our), Some(their)) => by_key(key, our, their),
        };
        verdict.compared += 1;
        let found = match order {
            Ordering::Less => Some((&mut verdict.missing, "is missing at the replica")),
            Ordering::Greater => Some((&mut verdict.extra, "is not at the origin")),
            Ordering::Equal if !alike(&our, &their) => {
                Some((&mut verdict.unequal, "is not the same on both sides"))
            }
            Ordering::Equal => None,
        };
        if let Some((count, word)) = found {
            *count += 1;
            if verdict.examples.len() < EXAMPLES_MAX {
                let row = if order == Ordering::Greater {
                    &their
                } else {
                    &our
                };
                verdict.examples.push(format!(
                    "{}: {word}",
                    named(table, key, row.as_deref().unwrap_or_default())
                ));
            }
        }
        if order != Ordering::Greater {
            our = read(&mut ours)?;
        }
        if order != Ordering::Less {
            their = read(&mut theirs)?;
        }
    }
}

/// The row, by its key if that is a number of the demo's own.
fn named(table: Table, key: &[usize], row: &[Value]) -> String {
    let number = |place: &usize| match row.get(*place) {
        Some(Value::Integer(number)) => number.to_string(),
        _ => "?".into(),
    };
    match table.key {
        [] => format!("a row of {}", table.name),
        _ => format!(
            "{} {}",
            table.name,
            key.iter().map(number).collect::<Vec<_>>().join("/")
        ),
    }
}

fn alike(one: &Option<Vec<Value>>, other: &Option<Vec<Value>>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| cells(one, other) == Ordering::Equal)
}

fn by_key(key: &[usize], one: &[Value], other: &[Value]) -> Ordering {
    let cell = |row: &[Value], place: usize| row.get(place).cloned().unwrap_or(Value::Null);
    let compared = key
        .iter()
        .map(|place| cells(&cell(one, *place), &cell(other, *place)));
    compared.fold(Ordering::Equal, Ordering::then)
}

/// SQLite's order of values; those that it takes as equal in two storage classes are told apart, and reals are compared bit by bit.
fn cells(one: &Value, other: &Value) -> Ordering {
    let class = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.total_cmp(other),
        (Value::Integer(one), Value::Real(other)) => {
            (*one as f64).total_cmp(other).then(Ordering::Less)
        }
        (Value::Real(one), Value::Integer(other)) => {
            one.total_cmp(&(*other as f64)).then(Ordering::Greater)
        }
        (Value::Text(one), Value::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => class(one).cmp(&class(other)),
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
