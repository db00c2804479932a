//! `keylane parked redrive` where the cause is mended by the configuration, and where it is not mended.

use super::commands::{Shop, terminate};

#[test]
fn a_pipeline_with_too_many_parked_keys_starts_again_once_their_redrive_is_asked_for() {
    let shop = Shop::new();
    shop.sql(
        "origin.db",
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 139) INSERT INTO orders SELECT i, 1, 500 FROM n;",
    );
    shop.sql(
        "replica.db",
        "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, total REAL CHECK (total < 100));",
    );
    shop.init();
    let lines = "\n    apply:\n      parked_keys_max: 10\n";
    shop.configure("\n    apply:\n", lines);
    for _ in 0..2 {
        let stopped = shop.run(&["run", "--until-caught-up"]);
        let told = String::from_utf8_lossy(&stopped.stderr).into_owned();
        assert_eq!(stopped.status.code(), Some(1), "{told}");
        assert!(told.contains("KL-APPLY-013"), "{told}");
    }
    let parked = || {
        let list = shop.json(&["parked", "list", "--format", "json"], 0);
        list.as_array().map_or(0, Vec::len)
    };
    assert!(parked() > 10);
    shop.sql(
        "replica.db",
        "ALTER TABLE orders RENAME TO narrow; CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, total REAL);
         INSERT INTO orders SELECT * FROM narrow; DROP TABLE narrow;
         CREATE TRIGGER slow AFTER INSERT ON orders BEGIN
           SELECT (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n);
         END;",
    );
    // Each redrive takes its time: they are counted while they go on.
    let asked = shop.run(&["parked", "redrive", "--all"]);
    assert!(asked.status.success());
    let road = shop.start();
    shop.await_settled();
    keylane_parts::wait_until("all to be redriven", super::commands::PATIENCE, || {
        Ok(parked() == 0)
    })
    .expect("they are");
    let count = "SELECT count(*) FROM orders WHERE total = 500";
    assert_eq!(shop.count("replica.db", count), 40);
    terminate(road, &shop.path("run.log"));
}

#[test]
fn what_was_parked_for_want_of_its_table_is_redriven_once_tables_are_created() {
    let shop = Shop::new();
    shop.init();
    let parked = || {
        let list = shop.json(&["parked", "list", "--format", "json"], 0);
        list.as_array().expect("a list").clone()
    };
    shop.configure(
        "\n    apply:\n",
        "\n    apply:\n      create_tables: false\n",
    );
    let run = shop.run(&["run", "--until-caught-up"]);
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(0), "{told}");
    let list = parked();
    assert_eq!(list.len(), 4, "{list:?}");
    let why = list[0]["error"].as_str().unwrap_or_default();
    assert!(why.contains("the replica lacks table main."), "{why}");

    // Not mended: tried once each, and parked again.
    let road = shop.start();
    shop.await_settled();
    let failed = shop.run(&["parked", "redrive", "--all"]);
    let told = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{told}");
    assert!(told.contains("0 of 4 keys went through"), "{told}");
    for key in parked() {
        assert_eq!(
            (&key["attempts"], &key["redriving"]),
            (&2.into(), &false.into()),
            "{key}"
        );
    }
    terminate(road, &shop.path("run.log"));

    shop.configure("create_tables: false", "create_tables: true");
    let road = shop.start();
    shop.await_settled();
    let redriven = shop.run(&["parked", "redrive", "--all"]);
    let told = String::from_utf8_lossy(&redriven.stderr).into_owned();
    assert_eq!(redriven.status.code(), Some(0), "{told}");
    assert_eq!(parked().len(), 0);
    for table in ["customers", "orders"] {
        let sql = format!("SELECT count(*) FROM {table}");
        assert_eq!(shop.count("replica.db", &sql), 2, "{table}");
    }
    terminate(road, &shop.path("run.log"));
}
