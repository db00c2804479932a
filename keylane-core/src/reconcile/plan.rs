//! How two tables are read so that equal rows are equal bytes: which columns belong together, how each is told, in which order.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::TableName;

use super::key_cell::BinaryKey;
use super::kind::Kind;

/// A database's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// A column as its database declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideColumn {
    /// Its name.
    pub name: Arc<str>,
    /// Its type, that below all domains, with modifiers, in the database's own words.
    pub type_name: Arc<str>,
    /// By what its values are put in order, where that is not the type alone: a collation with its version.
    pub collation: Option<Arc<str>>,
    /// Whether the database computes it.
    pub generated: bool,
}

/// A table as its database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideTable {
    /// Its name.
    pub name: TableName,
    /// Its columns.
    pub columns: Vec<SideColumn>,
    /// The columns that tell its rows apart, in the order of their index; empty if there are none.
    pub key: Vec<Arc<str>>,
}

/// How a column's cells are told while both sides are compared as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// As PostgreSQL sends the type.
    Binary,
    /// As PostgreSQL sends a decimal from which zeros at the end were taken.
    Trimmed,
    /// As PostgreSQL prints it.
    Text,
    /// As its value is spelt for this kind, by [`Kind::spell`].
    Spelt(Kind),
}

/// A column that is on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paired {
    /// Its name at the origin.
    pub name: Arc<str>,
    /// Its name at the replica: SQLite does not tell cases apart.
    pub replica_name: Arc<str>,
    /// Its types.
    pub types: (Arc<str>, Arc<str>),
    /// What they mean.
    pub kinds: (Kind, Kind),
    /// How it is told.
    pub told: Told,
    /// Of a key: whether it is put in order by its bytes, because the two databases do not promise one order.
    pub by_bytes: bool,
    /// Whether the replica computes it: it is compared, never written.
    pub generated: bool,
}

/// Two tables to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// At the origin.
    pub origin: TableName,
    /// At the replica.
    pub replica: TableName,
    /// Columns, those of the key first and in its order.
    pub columns: Vec<Paired>,
    /// How many of them are the key's.
    pub key: usize,
    /// Columns that the replica does not have.
    pub lacking: Vec<Arc<str>>,
    /// Columns that only the replica has.
    pub beside: Vec<Arc<str>>,
}

/// Which side of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The origin.
    Origin,
    /// The replica.
    Replica,
}

impl Which {
    /// The column's name there.
    pub fn column(self, column: &Paired) -> &str {
        match self {
            Which::Origin => &column.name,
            Which::Replica => &column.replica_name,
        }
    }

    /// The column's type there.
    pub fn type_name(self, column: &Paired) -> &str {
        match self {
            Which::Origin => &column.types.0,
            Which::Replica => &column.types.1,
        }
    }

    /// What the column's values mean there.
    pub fn kind(self, column: &Paired) -> Kind {
        match self {
            Which::Origin => column.kinds.0,
            Which::Replica => column.kinds.1,
        }
    }

    /// The table there.
    pub fn table(self, plan: &TablePlan) -> &TableName {
        match self {
            Which::Origin => &plan.origin,
            Which::Replica => &plan.replica,
        }
    }
}

/// Why two tables cannot be compared row by row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {why}")]
pub struct Refusal {
    /// The origin's table.
    pub table: TableName,
    /// Why, and what to do.
    pub why: String,
}

/// Types whose binary form is equal exactly for equal values (but for the zeros of floating point, which a second look tells).
const BINARY: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "oid",
    "real",
    "double precision",
    "text",
    "character varying",
    "name",
    "bytea",
    "uuid",
    "date",
    "jsonb",
    "json",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
];

/// Pairs two tables' columns by name.
///
/// # Errors
/// [`Refusal`]: the origin's table has no key, or the replica lacks one of its columns.
pub fn plan(
    engines: (Engine, Engine),
    origin: &SideTable,
    replica: &SideTable,
) -> Result<TablePlan, Refusal> {
    let refuse = |why: String| Refusal {
        table: origin.name.clone(),
        why,
    };
    if origin.key.is_empty() {
        return Err(refuse(
            "it has no primary key, so its rows cannot be told apart; give it one, or compare with --count-only".into(),
        ));
    }
    let of_key = |name: &str| origin.key.iter().position(|key| **key == *name);
    let mut own: Vec<&SideColumn> = origin.columns.iter().collect();
    own.sort_by_key(|column| of_key(&column.name).unwrap_or(usize::MAX));
    let mut lacking = Vec::new();
    let mut columns = Vec::new();
    for column in own {
        let is_key = of_key(&column.name).is_some();
        match counterpart(engines, &column.name, replica) {
            Some(other) => columns.push(paired(engines, column, other, is_key)),
            None if is_key => {
                return Err(refuse(format!(
                    "the replica's table {} lacks column {} of the key",
                    replica.name, column.name
                )));
            }
            None => lacking.push(column.name.clone()),
        }
    }
    let known: BTreeSet<&str> = columns.iter().map(|it| &*it.replica_name).collect();
    let beside = replica.columns.iter().map(|column| column.name.clone());
    Ok(TablePlan {
        origin: origin.name.clone(),
        replica: replica.name.clone(),
        key: origin.key.len(),
        lacking,
        beside: beside.filter(|name| !known.contains(&**name)).collect(),
        columns,
    })
}

fn counterpart<'a>(
    (of_origin, of_replica): (Engine, Engine),
    name: &str,
    replica: &'a SideTable,
) -> Option<&'a SideColumn> {
    let exact = replica.columns.iter().find(|column| *column.name == *name);
    if exact.is_some() || (of_origin, of_replica) == (Engine::Postgres, Engine::Postgres) {
        return exact;
    }
    let mut columns = replica.columns.iter();
    columns.find(|column| column.name.eq_ignore_ascii_case(name))
}

fn paired(
    engines: (Engine, Engine),
    origin: &SideColumn,
    replica: &SideColumn,
    is_key: bool,
) -> Paired {
    let kinds = (
        Kind::of(engines.0, &origin.type_name),
        Kind::of(engines.1, &replica.type_name),
    );
    let native = engines == (Engine::Postgres, Engine::Postgres);
    let told = match (native, kinds) {
        (true, _) if is_key => told_of_key(&origin.type_name, &replica.type_name, kinds.0),
        (true, _) => told(&origin.type_name, &replica.type_name, kinds),
        (false, (Kind::AsStored, kind) | (kind, _)) => Told::Spelt(kind),
    };
    let one_order = native && origin.collation == replica.collation;
    Paired {
        name: origin.name.clone(),
        replica_name: replica.name.clone(),
        types: (origin.type_name.clone(), replica.type_name.clone()),
        kinds,
        told,
        by_bytes: is_key && !one_order,
        generated: replica.generated,
    }
}

/// Without its modifiers.
fn bare(name: &str) -> String {
    let mut parts = name.splitn(2, '(');
    let head = parts.next().unwrap_or_default().trim().to_owned();
    match parts.next().and_then(|rest| rest.split_once(')')) {
        Some((_, behind)) => format!("{head}{behind}"),
        None => head,
    }
}

/// A key is read out of its cells, too.
fn told_of_key(one: &str, other: &str, kind: Kind) -> Told {
    match bare(one) == bare(other) {
        true if BinaryKey::of(one).is_some() => Told::Binary,
        true => Told::Text,
        false => Told::Spelt(kind),
    }
}

fn told(one: &str, other: &str, kinds: (Kind, Kind)) -> Told {
    match kinds {
        _ if bare(one) == bare(other) && BINARY.contains(&&*bare(one)) => Told::Binary,
        (Kind::Decimal(_), Kind::Decimal(_)) if one == other && one != "numeric" => Told::Binary,
        (Kind::Decimal(_), Kind::Decimal(_)) => Told::Trimmed,
        _ => Told::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(key: &[&str], columns: &[(&str, &str)]) -> SideTable {
        let column = |(name, type_name): &(&str, &str)| SideColumn {
            name: (*name).into(),
            type_name: (*type_name).into(),
            collation: type_name.starts_with("text").then(|| "default 1".into()),
            generated: false,
        };
        SideTable {
            name: TableName::new("public", "t"),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(|name| (*name).into()).collect(),
        }
    }

    const PG: (Engine, Engine) = (Engine::Postgres, Engine::Postgres);

    #[test]
    fn the_keys_columns_come_first_and_in_its_order() {
        let columns = [("a", "text"), ("b", "integer"), ("c", "integer")];
        let one = table(&["c", "a"], &columns);
        let plan = plan(PG, &one, &one).expect("a plan");
        let names: Vec<&str> = plan.columns.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["c", "a", "b"]);
        assert_eq!(plan.key, 2);
    }

    #[test]
    fn cells_are_told_so_that_equal_values_are_equal_bytes() {
        for (one, other, expect) in [
            ("integer", "integer", Told::Binary),
            ("integer", "bigint", Told::Text),
            ("character varying(5)", "character varying(9)", Told::Binary),
            ("numeric(10,2)", "numeric(10,2)", Told::Binary),
            ("numeric(10,2)", "numeric", Told::Trimmed),
            ("numeric", "numeric", Told::Trimmed),
            ("character(3)", "character(5)", Told::Text),
            (
                "timestamp(3) with time zone",
                "timestamp with time zone",
                Told::Binary,
            ),
            (
                "timestamp without time zone",
                "timestamp with time zone",
                Told::Text,
            ),
            ("integer[]", "integer[]", Told::Text),
        ] {
            let side = |type_name| table(&["k"], &[("k", "integer"), ("a", type_name)]);
            let (one, other) = (side(one), side(other));
            let plan = plan(PG, &one, &other).expect("a plan");
            assert_eq!(
                plan.columns.last().map(|it| it.told),
                Some(expect),
                "{one:?}"
            );
        }
    }

    #[test]
    fn keys_of_two_collations_are_ordered_by_bytes() {
        let one = table(&["k"], &[("k", "text")]);
        let mut other = one.clone();
        let by_bytes = |engines, other: &SideTable| {
            let plan = plan(engines, &one, other).expect("a plan");
            plan.columns.first().map(|it| it.by_bytes)
        };
        assert_eq!(by_bytes(PG, &other), Some(false));
        assert_eq!(
            by_bytes((Engine::Postgres, Engine::Sqlite), &other),
            Some(true)
        );
        other
            .columns
            .iter_mut()
            .for_each(|it| it.collation = Some("default 2".into()));
        assert_eq!(by_bytes(PG, &other), Some(true));
    }

    #[test]
    fn what_the_replica_lacks_is_named_and_a_key_it_lacks_is_refused() {
        let one = table(&["k"], &[("k", "integer"), ("a", "text")]);
        let other = table(&["k"], &[("k", "integer"), ("z", "text")]);
        let found = plan(PG, &one, &other).expect("a plan");
        assert_eq!(
            (found.lacking, found.beside),
            (vec!["a".into()], vec!["z".into()])
        );
        let refused = plan(PG, &other, &table(&[], &[("a", "text")]));
        assert!(refused.is_err_and(|it| it.to_string().contains("lacks column k")));
        let refused = plan(PG, &table(&[], &[("a", "text")]), &other);
        assert!(refused.is_err_and(|it| it.to_string().contains("no primary key")));
    }
}
