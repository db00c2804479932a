//! What a plan says, the road does: tables that share a topic are carried through it, and an item lies where its order lies.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::commands::Shop;

/// A shop whose orders have items, with the plan's topics in its configuration.
fn planned_shop() -> Shop {
    let shop = Shop::new();
    shop.sql(
        "origin.db",
        "CREATE TABLE items(id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id), sku TEXT);
         WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
         INSERT INTO orders SELECT i, 1, i FROM n;
         INSERT INTO items SELECT i, i, 'a' FROM (SELECT id AS i FROM orders WHERE id >= 100);",
    );
    shop.init();
    // A laptop's plan has one partition; eight show where things lie.
    let plan = shop.run(&[
        "topics",
        "plan",
        "--output",
        "yaml",
        "--what-if",
        "partitions=8",
    ]);
    let block = String::from_utf8(plan.stdout).expect("text");
    assert!(block.contains("main.items: main.orders"), "{block}");
    // In the place of the one that init wrote.
    let path = shop.path("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("init wrote it");
    let (before, after) = text.split_once("    topics:\n").expect("a topics block");
    let (_, after) = after.split_once("\n\n").expect("a block after it");
    std::fs::write(&path, format!("{before}{block}\n{after}")).expect("it is written");
    shop
}

/// By order: the partitions in which its own records lie, and those of its items.
fn places(shop: &Shop) -> BTreeMap<i64, (Vec<i64>, Vec<i64>)> {
    let log = rusqlite::Connection::open(shop.path(".keylane/log.db")).expect("the log opens");
    let sql = "SELECT r.partition, r.value FROM records r JOIN topics t ON t.no = r.topic_no WHERE t.name = 'shop.main.orders' AND r.value IS NOT NULL";
    let mut statement = log.prepare(sql).expect(sql);
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    let mut places: BTreeMap<i64, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
    for row in rows.expect(sql) {
        let (partition, value) = row.expect(sql);
        let value: Value = serde_json::from_slice(&value).expect("an envelope");
        let table = value["source"]["table"].as_str().unwrap_or_default();
        let number = |column: &str| value["after"][column].as_i64().unwrap_or(-1);
        match table {
            "orders" => places.entry(number("id")).or_default().0.push(partition),
            "items" => places
                .entry(number("order_id"))
                .or_default()
                .1
                .push(partition),
            _ => {}
        }
    }
    places
}

#[test]
fn an_item_lies_in_the_partition_of_its_order_and_both_are_applied() {
    let shop = planned_shop();
    let run = shop.run(&["run", "--until-caught-up"]);
    let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{stderr}");
    let places = places(&shop);
    let together = places
        .values()
        .filter(|(orders, items)| !orders.is_empty() && !items.is_empty());
    assert_eq!(together.clone().count(), 100, "{places:?}");
    for (orders, items) in together.clone() {
        assert_eq!(orders, items, "{places:?}");
    }
    let used: std::collections::BTreeSet<&Vec<i64>> = together.map(|(orders, _)| orders).collect();
    assert_eq!(used.len(), 8, "all partitions are used: {used:?}");
    // The same row keys in one topic: no row is taken for another table's.
    for (sql, expect) in [
        ("SELECT count(*) FROM orders", 102),
        ("SELECT count(*) FROM items", 100),
        (
            "SELECT count(*) FROM items WHERE sku = 'a' AND order_id = id",
            100,
        ),
    ] {
        assert_eq!(shop.count("replica.db", sql), expect, "{sql}");
    }
}

#[test]
fn changes_of_tables_in_one_topic_are_carried_over_restarts_and_a_parked_row_holds_up_no_other_tables()
 {
    let shop = planned_shop();
    shop.sql(
        "replica.db",
        "CREATE TABLE customers(id INTEGER PRIMARY KEY, email TEXT UNIQUE);
         CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, total REAL);
         CREATE TABLE items(id INTEGER PRIMARY KEY, order_id INTEGER, sku TEXT CHECK (sku <> 'bad'));",
    );
    let caught_up = || {
        let run = shop.run(&["run", "--until-caught-up"]);
        let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "{stderr}");
    };
    caught_up();
    // Item 150 and order 150 have the same row key in the same partition.
    shop.sql(
        "origin.db",
        "UPDATE items SET sku = 'bad' WHERE id = 150; UPDATE orders SET total = 7 WHERE id = 150; UPDATE items SET sku = 'c' WHERE id = 151;",
    );
    caught_up();
    let parked = shop.json(&["parked", "list", "--format", "json"], 0);
    let list = parked.as_array().or(parked["parked"].as_array());
    assert_eq!(list.map(Vec::len), Some(1), "{parked}");
    for (sql, expect) in [
        (
            "SELECT count(*) FROM orders WHERE id = 150 AND total = 7",
            1,
        ),
        ("SELECT count(*) FROM items WHERE id = 151 AND sku = 'c'", 1),
        ("SELECT count(*) FROM items WHERE id = 150 AND sku = 'a'", 1),
    ] {
        assert_eq!(shop.count("replica.db", sql), expect, "{sql}");
    }
    shop.sql("origin.db", "DELETE FROM items WHERE id = 160; DELETE FROM orders WHERE id = 160; INSERT INTO orders VALUES (300, 2, 1); INSERT INTO items VALUES (300, 300, 'z');");
    caught_up();
    for (sql, expect) in [
        ("SELECT count(*) FROM orders", 102),
        ("SELECT count(*) FROM items WHERE id = 300", 1),
        ("SELECT count(*) FROM items WHERE id = 160", 0),
    ] {
        assert_eq!(shop.count("replica.db", sql), expect, "{sql}");
    }
}

#[test]
fn a_table_whose_changes_went_elsewhere_before_is_refused_with_the_way_out() {
    let shop = planned_shop();
    let run = shop.run(&["run", "--until-caught-up"]);
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    shop.configure(
        "        main.items: main.orders\n",
        "        main.customers: main.orders\n",
    );
    let run = shop.run(&["run", "--until-caught-up"]);
    let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("start with a new prefix"), "{stderr}");
}
