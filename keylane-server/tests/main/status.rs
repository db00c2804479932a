//! What `keylane status` says of a road while it moves and while it is held up.

use keylane_parts::{PostgresHandle, wait_until};
use serde_json::Value;

use super::commands::{PATIENCE, Shop, terminate};

fn pipeline(shop: &Shop) -> Value {
    shop.json(&["status", "--format", "json"], 0)["pipelines"][0].clone()
}

#[test]
fn rates_are_told_while_changes_flow() {
    let shop = Shop::new();
    shop.init();
    let road = shop.start();
    shop.await_settled();
    let mut id = 100;
    wait_until("both rates to be told", PATIENCE, || {
        id += 1;
        shop.sql(
            "origin.db",
            &format!("INSERT INTO orders VALUES ({id}, 1, 1);"),
        );
        let told = pipeline(&shop);
        let flows = |rate: &str| told[rate].as_f64().is_some_and(|rate| rate > 0.0);
        Ok(flows("captured_per_s") && flows("applied_per_s"))
    })
    .expect("they are");
    terminate(road, &shop.path("run.log"));
}

#[test]
fn a_key_that_most_changes_are_of_is_told_with_the_bound_that_it_sets() {
    let shop = Shop::new();
    shop.init();
    let road = shop.start();
    shop.await_settled();
    let hot = "UPDATE orders SET total = total + 1 WHERE id = 10;".repeat(3);
    let mut id = 100;
    wait_until("the hot key to be told", PATIENCE, || {
        let mut changes = String::new();
        for _ in 0..50 {
            id += 1;
            changes.push_str(&format!("{hot} INSERT INTO orders VALUES ({id}, 1, 1);"));
        }
        shop.sql("origin.db", &changes);
        let told = pipeline(&shop);
        let hottest = &told["hot_keys"][0];
        let share = hottest["share"].as_f64().unwrap_or_default();
        let most = hottest["changes_per_second_max"].as_f64();
        let is_named = hottest["key"]
            .as_str()
            .is_some_and(|key| key.contains("10"));
        Ok(share > 0.5 && is_named && most.is_some_and(|most| most > 0.0))
    })
    .expect("it is");
    let text = shop.run(&["status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("% of the changes are of"), "{text}");
    terminate(road, &shop.path("run.log"));
}

#[test]
fn a_replica_that_is_away_is_told_for_as_long_as_it_is_with_a_lag_that_grows() {
    if keylane_parts::quick() {
        eprintln!("left out: needs PostgreSQL");
        return;
    }
    let postgres = PostgresHandle::shared_replica().expect("PostgreSQL");
    postgres.fresh_database("away").expect("a database");
    let elsewhere = |sql: &str| postgres.psql("postgres", sql).expect(sql);
    let shop = Shop::new();
    shop.init();
    let url = postgres.url("away");
    shop.configure(
        "      sqlite:\n        path: replica.db",
        &format!("      postgres:\n        url: {url}"),
    );
    let road = shop.start();
    shop.await_settled();
    elsewhere("ALTER DATABASE away ALLOW_CONNECTIONS false");
    elsewhere(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'away'",
    );
    shop.sql("origin.db", "INSERT INTO orders VALUES (12, 1, 3.0);");
    let mut lag = 0;
    wait_until("a lag of two seconds to be told", PATIENCE, || {
        let told = pipeline(&shop);
        lag = told["lag_ms"].as_u64().unwrap_or_default();
        Ok(told["state"] == "degraded" && lag > 2000)
    })
    .expect("it is");
    // Not for a moment only.
    for _ in 0..20 {
        let told = pipeline(&shop);
        let why = told["why"].as_str().unwrap_or_default();
        assert_eq!(told["state"], "degraded", "{told}");
        assert!(why.contains("the replica is away: KL-APPLY-001"), "{why}");
        let now = told["lag_ms"].as_u64().unwrap_or_default();
        assert!(now >= lag, "{now} ms after {lag} ms");
        lag = now;
    }
    elsewhere("ALTER DATABASE away ALLOW_CONNECTIONS true");
    shop.await_settled();
    wait_until("all to be well", PATIENCE, || {
        let told = pipeline(&shop);
        Ok(told["state"] == "caught_up" && told["lag_ms"] == 0)
    })
    .expect("it is");
    terminate(road, &shop.path("run.log"));
    let log = std::fs::read_to_string(shop.path("run.log")).expect("its log");
    assert_eq!(log.matches("the replica is away").count(), 1, "{log}");
    assert_eq!(log.matches("the replica is back").count(), 1, "{log}");
}
