//! `keylane parked`: list, show, discard, the same on a SQLite and on a PostgreSQL replica.

use std::process::Output;

use serde_json::Value;

use super::commands::{Shop, terminate};
use crate::bed::{Bed, left_out};

/// A road whose replica takes no order of 100 or more.
enum Road {
    Sqlite(Shop),
    Postgres(Box<Bed>),
}

const ORDERS: &str = "create table orders(id int primary key, customer int, total int);";
const CHECKED: &str =
    "create table orders(id int primary key, customer int, total int check (total < 100));";

impl Road {
    fn sqlite() -> Road {
        let shop = Shop::new();
        shop.sql("origin.db", "drop table orders; create table orders(id integer primary key, customer int, total int)");
        shop.init();
        shop.sql("replica.db", "create table orders(id integer primary key, customer int, total int check (total < 100))");
        Road::Sqlite(shop)
    }

    fn postgres() -> Road {
        let bed = Bed::bare("parked");
        bed.origin_sql(ORDERS);
        bed.replica_sql(CHECKED);
        bed.configure(&[bed.wiring()]);
        Road::Postgres(Box::new(bed))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        match self {
            Road::Sqlite(shop) => shop.run(arguments),
            Road::Postgres(bed) => bed.run(arguments),
        }
    }

    /// What a command prints as JSON, and its exit code.
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word} is not in: {stderr}");
        }
    }

    fn origin(&self, sql: &str) {
        match self {
            Road::Sqlite(shop) => shop.sql("origin.db", sql),
            Road::Postgres(bed) => {
                bed.origin_sql(sql);
            }
        }
    }

    fn rows(&self, condition: &str) -> i64 {
        let sql = format!("select count(*) from orders where {condition}");
        match self {
            Road::Sqlite(shop) => shop.count("replica.db", &sql),
            Road::Postgres(bed) => bed.replica_sql(&sql).parse().expect("a count"),
        }
    }

    fn settle(&self) {
        let settled = keylane_parts::wait_until("the road to settle", crate::bed::PATIENCE, || {
            Ok(self.run(&["settle", "--timeout", "10s"]).status.success())
        });
        settled.expect("it settles");
    }

    fn table(&self) -> &'static str {
        match self {
            Road::Sqlite(_) => "main.orders",
            Road::Postgres(_) => "public.orders",
        }
    }

    /// By key: which of two lanes is parked first is nobody's promise.
    fn list(&self) -> Vec<Value> {
        let listed = self.json(&["parked", "list"], 0);
        let mut list = listed.as_array().expect("a list").clone();
        list.sort_by_key(|key| key["key"].to_string());
        list
    }
}

fn is_listed_shown_and_dropped(road: &Road) {
    road.settle();
    let nothing = road.run(&["parked", "list"]);
    assert_eq!(
        String::from_utf8_lossy(&nothing.stdout),
        "nothing is parked\n"
    );
    road.origin("insert into orders values (20, 1, 500), (21, 1, 700), (22, 1, 5)");
    road.origin("update orders set total = 600 where id = 20");
    road.settle();
    let list = road.list();
    let told: Vec<_> = list
        .iter()
        .map(|key| (key["key"].as_str().unwrap_or_default(), &key["behind"]))
        .collect();
    assert_eq!(
        told,
        [("{\"id\":20}", &1.into()), ("{\"id\":21}", &0.into())],
        "{list:?}"
    );
    assert_eq!(road.rows("id = 22"), 1, "its neighbours went on");
    let of_table = road.json(&["parked", "list", "--table", road.table()], 0);
    assert_eq!(of_table.as_array().map(Vec::len), Some(2));
    let of_other = road.json(&["parked", "list", "--table", "no.such"], 0);
    assert_eq!(of_other.as_array().map(Vec::len), Some(0));
    is_shown(road, &list[0]);
    let id = list[0]["id"].to_string();
    for verb in ["redrive", "discard"] {
        road.refused(&["parked", verb], 2, &["--all"]);
        road.refused(
            &["parked", verb, "999"],
            1,
            &["nothing is parked under 999", "keylane parked list"],
        );
    }
    // Without a terminal nobody can be asked, and nothing is dropped.
    road.refused(
        &["parked", "discard", &id],
        2,
        &["drop 2 changes of 1 keys for good?", "--yes"],
    );
    assert_eq!(road.list().len(), 2);
    let dropped = road.json(&["parked", "discard", &id, "--yes"], 0);
    assert_eq!(dropped["discarded"], 1);
    let left = road.list();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["key"], "{\"id\":21}");
    assert_eq!(road.rows("id = 20"), 0, "what is dropped is not applied");
    // Its next change brings the row, even if it comes before the applier has looked.
    road.origin("update orders set total = 1 where id = 20");
    let there = keylane_parts::wait_until("the dropped key to go on", crate::bed::PATIENCE, || {
        Ok(road.rows("id = 20 and total = 1") == 1)
    });
    there.expect("it goes on");
    let all = road.json(&["parked", "discard", "--all", "--yes"], 0);
    assert_eq!(all["discarded"], 1);
    let none = road.json(&["parked", "discard", "--all", "--yes"], 0);
    assert_eq!(none["discarded"], 0);
    let gone = keylane_parts::wait_until("the status to count none", crate::bed::PATIENCE, || {
        Ok(road.json(&["status"], 0)["pipelines"][0]["parked"] == 0)
    });
    gone.expect("it counts none");
}

fn is_shown(road: &Road, listed: &Value) {
    for field in [
        "id",
        "pipeline",
        "table",
        "key",
        "since",
        "attempts",
        "error_code",
        "error",
        "behind",
    ] {
        assert!(!listed[field].is_null(), "{field}: {listed}");
    }
    assert_eq!(listed["table"], road.table(), "{listed}");
    assert_eq!(listed["error_code"], "KL-APPLY-004", "{listed}");
    let id = listed["id"].to_string();
    assert_eq!(&road.json(&["parked", "show", &id], 0), listed);
    let text = road.run(&["parked", "show", &id]);
    let text = String::from_utf8_lossy(&text.stdout);
    let redrive = format!("keylane parked redrive {id}");
    for word in [
        "{\"id\":20}",
        "KL-APPLY-004",
        "behind    1",
        &redrive,
        "keylane parked discard",
    ] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    road.refused(
        &["parked", "show", "999"],
        1,
        &["nothing is parked under 999"],
    );
    road.refused(&["parked", "show", "many"], 2, &["many"]);
}

#[test]
fn what_a_sqlite_replica_refuses_is_listed_shown_and_dropped() {
    let road = Road::sqlite();
    let Road::Sqlite(shop) = &road else { return };
    let running = shop.start();
    is_listed_shown_and_dropped(&road);
    terminate(running, &shop.path("run.log"));
}

#[test]
fn what_a_postgres_replica_refuses_is_listed_shown_and_dropped() {
    if left_out() {
        return;
    }
    let road = Road::postgres();
    let Road::Postgres(bed) = &road else { return };
    assert!(road.list().is_empty(), "before anything was applied");
    let running = bed.start(&[]);
    is_listed_shown_and_dropped(&road);
    running.terminate();
}
