//! `keylane parked redrive` where the cause is mended by the configuration, and where it is not mended.

use super::commands::{Shop, terminate};

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
