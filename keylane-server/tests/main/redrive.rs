//! `keylane parked redrive` where the cause is mended by the configuration, and where it is not mended.

use keylane_parts::wait_until;

use super::commands::{PATIENCE, Shop, terminate};

#[test]
fn what_was_parked_for_want_of_its_table_is_redriven_once_tables_are_created() {
    let shop = Shop::new();
    shop.init();
    let path = shop.path("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("init wrote it");
    let create = |yes: bool| {
        let with = format!("\n    apply:\n      create_tables: {yes}\n");
        std::fs::write(&path, text.replace("\n    apply:\n", &with)).expect("it is written");
    };
    let parked = || {
        let list = shop.json(&["parked", "list", "--format", "json"], 0);
        list.as_array().expect("a list").clone()
    };
    create(false);
    let run = shop.run(&["run", "--until-caught-up"]);
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(0), "{told}");
    let list = parked();
    assert_eq!(list.len(), 4, "{list:?}");
    let why = list[0]["error"].as_str().unwrap_or_default();
    assert!(why.contains("the replica lacks table main."), "{why}");

    // Not mended: tried once each, and parked again.
    let road = shop.start();
    wait_until("the road to settle", PATIENCE, || {
        Ok(shop.run(&["settle", "--timeout", "10s"]).status.success())
    })
    .expect("it settles");
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

    create(true);
    let road = shop.start();
    wait_until("the road to settle", PATIENCE, || {
        Ok(shop.run(&["settle", "--timeout", "10s"]).status.success())
    })
    .expect("it settles");
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
