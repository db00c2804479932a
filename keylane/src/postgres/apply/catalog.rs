//! What the replica's catalog says of its tables: columns, types as names to cast to, keys, and which table refers to which.

use std::collections::HashMap;

use keylane_core::apply::{ReplicaColumn, ReplicaTable};
use keylane_core::model::TableName;
use tokio_postgres::{Client, Error};

/// A column of the replica.
#[derive(Clone, Debug)]
pub(super) struct CatalogColumn {
    /// Its name.
    pub name: String,
    /// Its type in the replica's own words, with modifiers.
    pub type_name: String,
    /// What a text is cast to: the base type (of a domain) by its quoted catalog name. Never with a modifier: an explicit cast to `varchar(5)` cuts
    /// silently, while assigning a `varchar` to a `varchar(5)` column fails as it should. For the same reason never the domain itself.
    pub cast: String,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// Whether the database computes it.
    pub generated: bool,
    /// Whether it is `GENERATED ALWAYS AS IDENTITY`: an update may not name it.
    pub identity_always: bool,
    /// Whether two values that are equal also print alike; if not (numeric 1.0 = 1.00), a row without a key is told by its text.
    pub equal_is_same: bool,
}

/// A table of the replica.
#[derive(Clone, Debug)]
pub(super) struct CatalogTable {
    /// Its columns, in order.
    pub columns: Vec<CatalogColumn>,
    /// The names of its primary key's columns.
    pub key: Vec<String>,
}

impl CatalogTable {
    /// As the port describes a table.
    pub fn into_replica_table(self, table: TableName) -> ReplicaTable {
        let column = |column: CatalogColumn| ReplicaColumn {
            name: column.name,
            type_name: column.type_name,
            nullable: column.nullable,
            generated: column.generated,
        };
        ReplicaTable {
            table,
            columns: self.columns.into_iter().map(column).collect(),
            key: self.key,
        }
    }
}

const COLUMNS: &str = r#"
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), bn.nspname::text, bt.typname::text, NOT a.attnotnull, a.attgenerated <> '',
       a.attidentity = 'a',
       bt.typname = 'numeric' AND a.atttypmod <> -1
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (
    WITH RECURSIVE base AS (
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t JOIN base ON base.typtype = 'd' AND t.oid = base.typbasetype)
    SELECT oid FROM base WHERE typtype <> 'd') b
JOIN pg_type bt ON bt.oid = b.oid
JOIN pg_namespace bn ON bn.oid = bt.typnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'f', 'v')
ORDER BY a.attnum"#;

const KEY: &str = r#"
SELECT a.attname::text
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE n.nspname = $1 AND c.relname = $2 AND k.place <= i.indnkeyatts
ORDER BY k.place"#;

const REFERENCES: &str = r#"
SELECT cn.nspname::text, c.relname::text, pn.nspname::text, p.relname::text,
       f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd')
FROM pg_constraint f
JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE f.contype = 'f'"#;

/// Types whose equal values print alike.
const EQUAL_IS_SAME: &[&str] = &[
    "bool",
    "int2",
    "int4",
    "int8",
    "oid",
    "text",
    "varchar",
    "bpchar",
    "name",
    "char",
    "uuid",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "macaddr",
    "macaddr8",
];

/// A table as it is; `None` if it is not there.
///
/// # Errors
/// The driver's.
pub(super) async fn table(
    client: &Client,
    name: &TableName,
) -> Result<Option<CatalogTable>, Error> {
    let names = [&&*name.schema as _, &&*name.name as _];
    let rows = client.query(COLUMNS, &names).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let columns = rows
        .iter()
        .map(|row| {
            let (schema, base): (String, String) = (row.get(2), row.get(3));
            let of_catalog = schema == "pg_catalog";
            CatalogColumn {
                name: row.get(0),
                type_name: row.get(1),
                cast: format!("{}.{}", quoted(&schema), quoted(&base)),
                nullable: row.get(4),
                generated: row.get(5),
                identity_always: row.get(6),
                equal_is_same: of_catalog
                    && (EQUAL_IS_SAME.contains(&base.as_str()) || row.get::<_, bool>(7)),
            }
        })
        .collect();
    let key = client.query(KEY, &names).await?;
    Ok(Some(CatalogTable {
        columns,
        key: key.iter().map(|row| row.get(0)).collect(),
    }))
}

/// How the replica's tables refer to each other.
#[derive(Debug, Default)]
pub(super) struct References {
    depths: HashMap<TableName, u32>,
    /// Tables that others refer to, and whether by a foreign key with an action.
    parents: HashMap<TableName, bool>,
}

impl References {
    /// How deep a table stands below those it refers to; 0 if it refers to none. Rings of references are cut somewhere.
    pub fn depth(&self, table: &TableName) -> u32 {
        self.depths.get(table).copied().unwrap_or(0)
    }

    /// Whether any table refers to this one.
    pub fn is_referenced(&self, table: &TableName) -> bool {
        self.parents.contains_key(table)
    }

    /// Whether a row of this table takes other rows with it when it goes (`ON DELETE CASCADE`, `SET NULL`, …).
    pub fn takes_others(&self, table: &TableName) -> bool {
        self.parents.get(table).copied().unwrap_or(false)
    }
}

/// Reads how the replica's tables refer to each other.
///
/// # Errors
/// The driver's.
pub(super) async fn references(client: &Client) -> Result<References, Error> {
    let rows = client.query(REFERENCES, &[]).await?;
    let name = |row: &tokio_postgres::Row, at: usize| {
        TableName::new(row.get::<_, String>(at), row.get::<_, String>(at + 1))
    };
    let mut edges = Vec::new();
    let mut parents: HashMap<TableName, bool> = HashMap::new();
    for row in &rows {
        let (child, parent) = (name(row, 0), name(row, 2));
        *parents.entry(parent.clone()).or_default() |= row.get::<_, bool>(4);
        if child != parent {
            edges.push((child, parent));
        }
    }
    Ok(References {
        depths: depths_of(&edges),
        parents,
    })
}

/// The same from (child, parent) pairs.
fn depths_of(edges: &[(TableName, TableName)]) -> HashMap<TableName, u32> {
    /// Deeper chains than this are rings, or so long that their order no longer matters.
    const ROUNDS_MAX: usize = 64;
    let mut depths: HashMap<TableName, u32> = HashMap::new();
    for _ in 0..ROUNDS_MAX {
        let mut moved = false;
        for (child, parent) in edges {
            let least = depths.get(parent).copied().unwrap_or(0) + 1;
            let depth = depths.entry(child.clone()).or_insert(0);
            if *depth < least {
                *depth = least;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    depths
}

/// A name in double quotes, as SQL takes any name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_stand_above_children_and_a_ring_ends() {
        let table = |name: &str| TableName::new("public", name);
        let edges = [
            (table("items"), table("orders")),
            (table("orders"), table("customers")),
            (table("a"), table("b")),
            (table("b"), table("a")),
        ];
        let depths = depths_of(&edges);
        assert_eq!(depths.get(&table("orders")), Some(&1));
        assert_eq!(depths.get(&table("items")), Some(&2));
        assert_eq!(depths.get(&table("customers")), None);
    }

    #[test]
    fn any_name_is_quoted() {
        assert_eq!(quoted("a\"b c"), "\"a\"\"b c\"");
    }
}
