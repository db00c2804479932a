//! `keylane check` looks at the pipeline's own tables, by its own order keys.

use serde_json::Value;

use super::commands::Shop;

fn checks(shop: &Shop, code: i32) -> Vec<Value> {
    let answer = shop.json(&["check", "--format", "json"], code);
    answer["checks"].as_array().expect("a list").clone()
}

#[test]
fn a_table_that_is_not_carried_is_not_looked_at_and_an_order_key_is() {
    let shop = Shop::new();
    // No key, and none of the pipeline's.
    shop.sql("origin.db", "CREATE TABLE scratch(v);");
    let tables = ["--tables", "customers,orders"];
    let init = [
        "init",
        "--from",
        "sqlite:origin.db",
        "--to",
        "sqlite:replica.db",
        "--name",
        "shop",
    ];
    assert!(
        shop.run(&[&init[..], &tables[..]].concat())
            .status
            .success()
    );
    let about = |checks: &[Value], word: &str| {
        let subjects = checks.iter().filter_map(|check| check["subject"].as_str());
        subjects.filter(|subject| subject.contains(word)).count()
    };
    let all = checks(&shop, 0);
    assert_eq!(about(&all, "scratch"), 0, "{all:?}");
    assert!(about(&all, "orders") > 2, "{all:?}");

    shop.configure("      - orders", "      - ordrs\n      - orders");
    let misspelt: Vec<Value> = checks(&shop, 0)
        .into_iter()
        .filter(|check| check["id"] == "origin.pattern")
        .collect();
    assert_eq!(misspelt.len(), 1, "{misspelt:?}");
    assert_eq!(misspelt[0]["subject"], "shop: tables: ordrs");
    assert_eq!(
        (&misspelt[0]["ok"], &misspelt[0]["severity"]),
        (&false.into(), &"warning".into())
    );

    let keyed = "\n    topics:\n      order_keys: { main.orders: [nowhere] }\n";
    shop.configure("\n    topics:\n", keyed);
    let failed: Vec<Value> = checks(&shop, 3)
        .into_iter()
        .filter(|check| check["ok"] == false && check["severity"] == "error")
        .collect();
    assert!(
        failed.iter().any(|check| check["id"] == "origin.tables"
            && check["found"]
                .as_str()
                .is_some_and(|found| found.contains("nowhere"))),
        "{failed:?}"
    );
}

#[test]
fn a_look_before_the_first_start_creates_nothing_and_finds_nothing_wrong() {
    let shop = Shop::new();
    shop.init();
    let all = checks(&shop, 0);
    let file = all.iter().find(|check| check["id"] == "replica.file");
    let found = file.map_or("", |check| check["found"].as_str().unwrap_or_default());
    assert!(found.contains("not there"), "{all:?}");
    for created in ["replica.db", ".keylane/log.db"] {
        assert!(!shop.path(created).exists(), "{created}");
    }
    // As a replica that was made by hand, and a log, before anything was applied.
    shop.sql(
        "replica.db",
        "CREATE TABLE customers(id INTEGER PRIMARY KEY, email TEXT);",
    );
    shop.run(&["settle", "--timeout", "1ms"]);
    assert!(shop.path(".keylane/log.db").exists());
    let status = shop.json(&["status", "--format", "json"], 0);
    assert_eq!(
        status["pipelines"][0]["why"], "not running on this machine",
        "{status}"
    );
    let parked = shop.json(&["parked", "list", "--format", "json"], 0);
    assert_eq!(parked, serde_json::json!([]));
}
