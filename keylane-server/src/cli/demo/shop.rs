//! The demo's shop: its tables, the rows it begins with, and the history that its own triggers keep.
//!
//! Every row carries a `version` from one counter of the whole shop, so that what happened to a key can be put in order without asking the engine. The same
//! triggers run at the origin and at the replica: each row that is put or deleted leaves a line in `demo_history`, which nobody ever changes.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, params};

use super::traffic::Dice;

/// A table of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its primary key; empty if it has none.
    pub key: &'static [&'static str],
}

/// The shop's tables, parents first.
pub const TABLES: [Table; 5] = [
    Table {
        name: "customers",
        key: &["id"],
    },
    Table {
        name: "orders",
        key: &["id"],
    },
    Table {
        name: "order_items",
        key: &["order_id", "line"],
    },
    Table {
        name: "payments",
        key: &["id"],
    },
    Table {
        name: "audit",
        key: &[],
    },
];

const SCHEMA: &str = "
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, note TEXT, version INTEGER NOT NULL);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id),
  status TEXT NOT NULL, total_cents INTEGER NOT NULL, receipt BLOB, version INTEGER NOT NULL);
CREATE INDEX orders_customer ON orders(customer_id);
CREATE TABLE order_items (
  order_id INTEGER NOT NULL REFERENCES orders(id), line INTEGER NOT NULL,
  product TEXT NOT NULL, quantity INTEGER NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE payments (
  id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id),
  amount REAL NOT NULL, reference TEXT UNIQUE, version INTEGER NOT NULL);
CREATE INDEX payments_order ON payments(order_id);
CREATE TABLE audit (at INTEGER NOT NULL, subject TEXT NOT NULL, detail, version INTEGER NOT NULL);
CREATE TABLE demo_history (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, op TEXT NOT NULL);
";

/// Opens a database of the demo as the shop does.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Creates the tables and the triggers that write the history.
pub fn create(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.execute_batch(SCHEMA)?;
    for table in TABLES {
        connection.execute_batch(&history_triggers(table))?;
    }
    Ok(connection)
}

fn history_triggers(Table { name, key }: Table) -> String {
    let of = |row: &str| match key {
        // Without a key a row is its version; rows that are alike share it.
        [] => format!("CAST({row}.version AS TEXT)"),
        key => key
            .iter()
            .map(|column| format!("{row}.{column}"))
            .collect::<Vec<_>>()
            .join(" || '/' || "),
    };
    let (old, new) = (of("OLD"), of("NEW"));
    let line = |key: &str, version: &str, op: &str| {
        format!(
            "INSERT INTO demo_history(tbl, key, version, op) SELECT '{name}', {key}, {version}, '{op}'"
        )
    };
    let (put, gone) = (
        line(&new, "NEW.version", "put"),
        line(&old, "OLD.version", "delete"),
    );
    format!(
        "CREATE TRIGGER demo_{name}_insert AFTER INSERT ON {name} BEGIN {put}; END;
         CREATE TRIGGER demo_{name}_update AFTER UPDATE ON {name} BEGIN {gone} WHERE {old} IS NOT {new}; {put}; END;
         CREATE TRIGGER demo_{name}_delete AFTER DELETE ON {name} BEGIN {gone}; END;"
    )
}

/// The rows that are there before capture starts, so that the initial copy has work. Returns how many.
pub fn fill(origin: &mut Connection, dice: &mut Dice) -> rusqlite::Result<u64> {
    let transaction = origin.transaction()?;
    for id in 1..=300 {
        customer(&transaction, dice, id)?;
    }
    for id in 1..=600 {
        let customer_id = dice.between(1, 300);
        order(&transaction, dice, id, customer_id)?;
    }
    for _ in 0..300 {
        audit(&transaction, dice, "opening")?;
    }
    transaction.commit()?;
    let count = |table: Table| {
        origin.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| {
            row.get::<_, u64>(0)
        })
    };
    TABLES.into_iter().map(count).sum()
}

/// A new customer with an address of its own.
pub fn customer(shop: &Transaction<'_>, dice: &mut Dice, id: i64) -> rusqlite::Result<usize> {
    let version = dice.version();
    let name = dice.pick(&[
        "Ada",
        "Grace",
        "Barbara",
        "Søren",
        "Zoë",
        "Μαρία",
        "王芳",
        "O'Neil",
    ]);
    let note = dice.chance(30).then(|| {
        format!(
            "note {}: \"quoted\", 'single', 100 %\n",
            dice.between(0, 9999)
        )
    });
    shop.prepare_cached("INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            id,
            format!("c{id}.{version}@shop.example"),
            name,
            note,
            version
        ])
}

/// A new order with its items, and mostly a payment.
pub fn order(
    shop: &Transaction<'_>,
    dice: &mut Dice,
    id: i64,
    customer_id: i64,
) -> rusqlite::Result<usize> {
    let receipt = dice.chance(40).then(|| dice.bytes(24));
    let total_cents = dice.between(100, 90_000);
    let version = dice.version();
    let mut rows = shop
        .prepare_cached("INSERT INTO orders VALUES (?1, ?2, 'placed', ?3, ?4, ?5)")?
        .execute(params![id, customer_id, total_cents, receipt, version])?;
    for line in 1..=dice.between(1, 4) {
        let product = dice.pick(&["lamp", "chair", "tea", "книга", "désk"]);
        rows += shop
            .prepare_cached("INSERT INTO order_items VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                id,
                line,
                product,
                dice.between(1, 9),
                dice.version()
            ])?;
    }
    if dice.chance(70) {
        rows += payment(shop, dice, id)?;
    }
    Ok(rows)
}

/// A payment of an order, under the next free number.
pub fn payment(shop: &Transaction<'_>, dice: &mut Dice, order_id: i64) -> rusqlite::Result<usize> {
    let version = dice.version();
    let reference = dice.chance(80).then(|| format!("P-{version}"));
    // Amounts that no decimal text of few digits holds.
    let amount = f64::from(i32::try_from(dice.between(1, 1_000_000)).unwrap_or(1)) / 7.0;
    shop.prepare_cached(
        "INSERT INTO payments VALUES ((SELECT coalesce(max(id), 0) + 1 FROM payments), ?1, ?2, ?3, ?4)",
    )?
    .execute(params![order_id, amount, reference, version])
}

/// A line of the audit table, of any storage class; now and then two that are alike in every column.
pub fn audit(shop: &Transaction<'_>, dice: &mut Dice, subject: &str) -> rusqlite::Result<usize> {
    let detail = match dice.between(0, 4) {
        0 => rusqlite::types::Value::Null,
        1 => rusqlite::types::Value::Integer(dice.between(i64::MIN / 2, i64::MAX / 2)),
        2 => rusqlite::types::Value::Real(
            1e300 / f64::from(i32::try_from(dice.between(1, 9)).unwrap_or(1)),
        ),
        3 => rusqlite::types::Value::Blob(dice.bytes(6)),
        _ => rusqlite::types::Value::Text("1".into()),
    };
    let (at, version) = (dice.between(0, 1 << 40), dice.version());
    let alike = if dice.chance(10) { 2 } else { 1 };
    for _ in 0..alike {
        shop.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![at, subject, detail, version])?;
    }
    Ok(alike)
}
