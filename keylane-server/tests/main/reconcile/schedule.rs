//! `keylane run` compares by itself, mends what it may, and tells.

use std::io::Write as _;

use serde_json::Value;

use crate::bed::{Bed, left_out};

const TABLES: &str = "
create table if not exists orders (id int primary key, note text);
create table if not exists prices (id int primary key, cents int);";

fn runs(bed: &Bed) -> Vec<Value> {
    let all = bed.json(&["reconcile", "list", "--format", "json"], 0);
    all["runs"].as_array().cloned().unwrap_or_default()
}

#[test]
fn tables_are_compared_at_their_times_and_only_what_may_be_is_mended() {
    if left_out() {
        return;
    }
    let bed = Bed::new("scheduled", TABLES);
    bed.configure(&[bed.wiring()]);
    let mut config = std::fs::OpenOptions::new()
        .append(true)
        .open(bed.config())
        .expect("opened");
    let added = "    reconcile: { schedules: [\"* * * * *\"], repair: [\"public.orders\"], load_percent: 50 }\n";
    config.write_all(added.as_bytes()).expect("written");
    bed.origin_sql("insert into orders values (1, 'a'); insert into prices values (1, 100)");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.replica_sql("update orders set note = 'rogue'; update prices set cents = 1");
    bed.wait(&road, "a comparison that nobody asked for", || {
        runs(&bed).iter().any(|run| run["state"] == "done")
    });
    let done = runs(&bed).pop().expect("a run");
    let run = done["run"].as_str().expect("a name");
    let shown = bed.json(&["reconcile", "show", run, "--format", "json"], 0);
    let of = |name: &str| {
        let mut tables = shown["tables"].as_array().into_iter().flatten();
        tables
            .find(|table| table["table"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(of("public.orders")["repaired"], 1, "{shown}");
    assert_eq!(of("public.prices")["verdict"], "diverged", "{shown}");
    assert_eq!(bed.replica_sql("select note from orders"), "a");
    assert_eq!(bed.replica_sql("select cents from prices"), "1");
    road.terminate();
}
