//! With a pipeline: the verdict is of one logical moment, whatever is on its way.

use serde_json::Value;

use crate::bed::{Bed, left_out};

const TABLES: &str = "
create table if not exists customers (id int primary key, name text);
create table if not exists orders (id int primary key, customer int, note text);";

fn table<'a>(run: &'a Value, name: &str) -> &'a Value {
    let mut tables = run["tables"].as_array().into_iter().flatten();
    let found = tables.find(|table| table["table"] == name);
    assert!(found.is_some(), "{name} in {run}");
    found.unwrap_or(run)
}

#[test]
fn a_rogue_write_and_a_lost_change_are_found_and_proved_and_nothing_else() {
    if left_out() {
        return;
    }
    let bed = Bed::new("reconcile_road", TABLES);
    bed.configure(&[bed.wiring()]);
    bed.origin_sql("insert into customers select n, 'c' || n from generate_series(1, 300) n");
    bed.origin_sql(
        "insert into orders select n, 1 + n % 300, 'o' || n from generate_series(1, 3000) n",
    );
    let early = bed.run(&["reconcile"]);
    assert_eq!(early.status.code(), Some(1));
    let told = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(told.contains("has captured nothing yet"), "{told}");

    let road = bed.start(&[]);
    bed.settle(&road);
    let equal = bed.json(&["reconcile", "--format", "json"], 0);
    assert_eq!(table(&equal, "public.orders")["rows_replica"], 3000);
    assert_eq!(table(&equal, "public.customers")["verdict"], "equal");

    bed.replica_sql("update orders set note = 'rogue' where id = 7; delete from orders where id = 2999; insert into orders values (100000, 1, 'x')");
    let found = bed.json(&["reconcile", "--format", "json"], 3);
    let orders = table(&found, "public.orders");
    let counts = ["missing", "extra", "different"].map(|name| orders[name].as_u64());
    assert_eq!(counts, [Some(1); 3], "{orders}");
    assert_eq!(table(&found, "public.customers")["verdict"], "equal");
    let by = ["reconcile", "--method", "checksums", "--format", "json"];
    let summed = bed.json(&by, 3);
    let same = table(&summed, "public.orders");
    let counts = ["missing", "extra", "different"].map(|name| same[name].as_u64());
    assert_eq!(counts, [Some(1); 3], "{same}");
    let added_up = table(&summed, "public.customers")["rows_by_checksum"].as_u64();
    assert_eq!(added_up, Some(300), "{summed}");
    let rows = bed.json(&["reconcile", "show", "--rows", "--format", "json"], 0);
    let proof = rows["rows"][0]["proof"].as_str().unwrap_or_default();
    assert!(
        proof.contains("mark") && proof.contains(".orders"),
        "{proof}"
    );
    let all = rows["rows"].as_array().expect("rows");
    let written = |row: &Value| {
        let proof = row["proof"].as_str().unwrap_or_default();
        proof.contains("somebody else wrote the replica's row")
    };
    // Of the row that only the replica has, the log has no record: nothing is said of it.
    assert_eq!(all.iter().filter(|row| written(row)).count(), 2, "{rows}");

    // What the origin writes again is right again.
    bed.origin_sql("update orders set note = note || '.' where id = 7; update orders set note = 'y' where id = 2999");
    bed.settle(&road);
    let found = bed.json(&["reconcile", "--table", "orders", "--format", "json"], 3);
    let orders = table(&found, "public.orders");
    assert_eq!(
        (&orders["extra"], &orders["missing"], &orders["different"]),
        (&1.into(), &0.into(), &0.into())
    );
    road.terminate();
}

#[test]
fn a_road_that_stands_still_proves_nothing_and_says_so() {
    if left_out() {
        return;
    }
    let bed = Bed::new("reconcile_still", TABLES);
    bed.configure(&[bed.wiring()]);
    bed.origin_sql("insert into orders select n, 1, 'o' from generate_series(1, 100) n");
    let road = bed.start(&[]);
    bed.settle(&road);
    road.terminate();
    bed.origin_sql("update orders set note = 'later' where id <= 10");
    let still = ["reconcile", "--mark-within", "1s", "--format", "json"];
    let run = bed.json(&still, 3);
    let orders = table(&run, "public.orders");
    assert_eq!(
        (&orders["verdict"], &orders["unproved"]),
        (&"unproved".into(), &10.into())
    );
    assert_eq!(orders["different"], 0);
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.json(&still, 0);
    road.terminate();
}

#[test]
fn a_change_that_the_road_lost_is_named_so_and_mended() {
    if left_out() {
        return;
    }
    let bed = Bed::new("reconcile_lost", TABLES);
    bed.configure(&[bed.wiring()]);
    bed.origin_sql("insert into orders select n, 1, 'o' || n from generate_series(1, 100) n");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.origin_sql("update orders set note = 'told' where id < 50");
    bed.settle(&road);
    // While the table is not published, nobody tells of its changes.
    let publication = bed.origin_sql("select pubname from pg_publication");
    bed.origin_sql(&format!(
        "alter publication {publication} drop table orders; update orders set note = 'lost' where id = 7; delete from orders where id = 8;
         insert into orders values (200, 1, 'lost'); alter publication {publication} add table orders"
    ));
    bed.origin_sql("update orders set note = 'again' where id = 9");
    bed.settle(&road);
    let found = bed.json(&["reconcile", "--table", "orders", "--format", "json"], 3);
    let orders = table(&found, "public.orders");
    let counts = ["missing", "extra", "different"].map(|name| orders[name].as_u64());
    assert_eq!(counts, [Some(1); 3], "{orders}");
    let rows = bed.json(&["reconcile", "show", "--rows", "--format", "json"], 0);
    for row in rows["rows"].as_array().expect("rows") {
        let proof = row["proof"].as_str().unwrap_or_default();
        let named = proof.contains("a change was lost before it came there");
        // Of the row that came and was never told, the log has no record.
        assert_eq!(named, row["kind"] != "missing", "{row}");
    }
    bed.json(&["reconcile", "--repair", "--format", "json"], 0);
    bed.assert_equal(&["orders"]);
    road.terminate();
}
