//! What `settle` and `run --until-caught-up` wait for, and what they do not: copies, tables that are not carried any more, topics under a former prefix.

use keylane_parts::wait_until;

use super::commands::{PATIENCE, Shop, terminate};

fn run_until_caught_up(shop: &Shop) {
    let run = shop.run(&["run", "--until-caught-up"]);
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(0), "{told}");
}

/// A shop with many orders, copied in small pieces.
fn full_shop() -> Shop {
    let shop = Shop::new();
    shop.sql(
        "origin.db",
        "PRAGMA journal_mode=WAL;
         WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 20099) INSERT INTO orders SELECT i, 1, 0 FROM n;",
    );
    shop.init();
    shop.configure(
        "\n    apply:\n",
        "\n    capture:\n      chunk_rows: 50\n\n    apply:\n",
    );
    shop
}

const ORDERS: &str = "SELECT count(*) FROM orders";

#[test]
fn a_first_start_is_caught_up_once_every_row_is_copied() {
    let shop = full_shop();
    run_until_caught_up(&shop);
    assert_eq!(shop.count("replica.db", ORDERS), 20_002);
}

#[test]
fn nothing_settles_before_every_row_is_copied() {
    let shop = full_shop();
    // The copy is in the log to its middle, and the capturer is gone.
    let mut capture = shop.start_as(&["run", "--only", "capture"], "capture.log");
    let log = || std::fs::read_to_string(shop.path("capture.log")).unwrap_or_default();
    let in_log = "SELECT count(*) FROM records JOIN topics ON no = topic_no WHERE name LIKE '%.orders' AND value IS NOT NULL";
    wait_until("some of the copy to be in the log", PATIENCE, || {
        Ok(log().contains("main.orders") && shop.count(".keylane/log.db", in_log) > 500)
    })
    .expect("it is");
    capture.kill().expect("it is killed");
    capture.wait().expect("it ends");
    let was_whole = log().contains("the initial copy is complete");
    let apply = shop.start_as(&["run", "--only", "apply"], "run.log");
    wait_until("some rows to be applied", PATIENCE, || {
        Ok(shop.path("replica.db").exists() && shop.count("replica.db", ORDERS) > 0)
    })
    .expect("they are");
    let held = shop.run(&["settle", "--timeout", "500ms"]);
    let told = String::from_utf8_lossy(&held.stderr).into_owned();
    if !was_whole {
        assert_eq!(held.status.code(), Some(1), "{told}");
        assert!(told.contains("the initial copy is not complete"), "{told}");
    }
    terminate(apply, &shop.path("run.log"));
    let road = shop.start();
    shop.await_settled();
    assert_eq!(shop.count("replica.db", ORDERS), 20_002);
    terminate(road, &shop.path("run.log"));
}

#[test]
fn a_table_that_is_not_carried_any_more_holds_up_nothing() {
    let shop = Shop::new();
    shop.init();
    run_until_caught_up(&shop);
    shop.configure("      - orders", "      # orders");
    shop.sql(
        "origin.db",
        "INSERT INTO customers VALUES (3, 'c'); INSERT INTO orders VALUES (12, 3, 1);",
    );
    run_until_caught_up(&shop);
    assert_eq!(
        shop.count("replica.db", "SELECT count(*) FROM customers"),
        3
    );
    assert_eq!(shop.count("replica.db", ORDERS), 2);
    let status = shop.json(&["status", "--format", "json"], 0);
    assert_eq!(status["pipelines"][0]["lag_changes"], 0, "{status}");
}

#[test]
fn what_is_stored_under_a_former_prefix_holds_up_nothing() {
    let shop = Shop::new();
    shop.init();
    run_until_caught_up(&shop);
    shop.sql("replica.db", "DELETE FROM orders; DELETE FROM customers;");
    shop.sql("origin.db", "DELETE FROM orders WHERE id = 10;");
    shop.configure("prefix: shop\n", "prefix: shop2\n");
    run_until_caught_up(&shop);
    assert_eq!(shop.count("replica.db", ORDERS), 1);
    assert_eq!(
        shop.count("replica.db", "SELECT count(*) FROM customers"),
        2
    );
}
