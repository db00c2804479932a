//! `reconcile --repair`, `--dry-run`, the brakes, and `reconcile undo`.

use serde_json::Value;

use crate::bed::{Bed, left_out};

const TABLES: &str = "
create table if not exists customers (id int primary key, mail text unique);
create table if not exists orders (id int primary key, customer int references customers, note text);";

fn table<'a>(run: &'a Value, name: &str) -> &'a Value {
    let mut tables = run["tables"].as_array().into_iter().flatten();
    let found = tables.find(|table| table["table"] == name);
    assert!(found.is_some(), "{name} in {run}");
    found.unwrap_or(run)
}

fn filled(name: &'static str) -> Bed {
    let bed = Bed::new(name, TABLES);
    bed.configure(&[bed.wiring()]);
    bed.origin_sql("insert into customers select n, 'c' || n from generate_series(1, 200) n");
    bed.origin_sql(
        "insert into orders select n, 1 + n % 200, 'o' || n from generate_series(1, 2000) n",
    );
    bed
}

const PLANTED: &str = "
delete from orders where customer = 5;
delete from customers where id = 5;
update customers set mail = 'rogue' where id = 7;
insert into orders values (90000, 1, 'extra');";

#[test]
fn what_is_proved_is_mended_seen_again_and_can_be_put_back() {
    if left_out() {
        return;
    }
    let bed = filled("repair_road");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.replica_sql(PLANTED);
    let dry = bed.json(
        &["reconcile", "--repair", "--dry-run", "--format", "json"],
        3,
    );
    let orders = table(&dry, "public.orders");
    assert_eq!(
        (&orders["would_repair"], &orders["repaired"]),
        (&11.into(), &0.into())
    );
    assert_eq!(
        [&orders["would"]["insert"], &orders["would"]["delete"]],
        [10, 1]
    );
    let before = (records_of(&bed, "orders", 4), bed.origin_sql(VERSIONS));
    let run = bed.json(&["reconcile", "--repair", "--format", "json"], 0);
    assert_eq!(table(&run, "public.orders")["repaired"], 11);
    let customers = table(&run, "public.customers");
    assert_eq!(
        (&customers["repaired"], &customers["verdict"]),
        (&2.into(), &"equal".into())
    );
    bed.assert_equal(&["customers", "orders"]);
    bed.json(&["reconcile", "--format", "json"], 0);
    let after = (records_of(&bed, "orders", 4), bed.origin_sql(VERSIONS));
    assert_eq!(
        after, before,
        "what is mended does not come by the road again"
    );

    // One of the rows has changed since: it stays.
    bed.origin_sql("update customers set mail = 'new' where id = 7");
    bed.settle(&road);
    let name = run["run"].as_str().expect("a name");
    let undone = bed.run(&["reconcile", "undo", name]);
    assert_eq!(undone.status.code(), Some(3));
    assert_eq!(
        bed.replica_sql("select mail from customers where id = 7"),
        "new"
    );
    assert_eq!(
        bed.replica_sql("select note from orders where id = 90000"),
        "extra"
    );
    assert_eq!(
        bed.replica_sql("select count(*) from orders where customer = 5"),
        "0"
    );
    road.terminate();
}

/// Which transactions wrote the origin's rows.
const VERSIONS: &str = "select sum(xmin::text::bigint), count(*) from (select xmin from orders union all select xmin from customers) it";

/// Records of a row that the log holds.
fn records_of(bed: &Bed, table: &str, key: u64) -> usize {
    let key = key.to_string();
    let traced = bed.json(&["trace", table, &key, "--format", "json"], 0);
    traced["records"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_dry_run_tells_each_write_and_exactly_those_follow() {
    if left_out() {
        return;
    }
    let bed = filled("repair_dry");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.replica_sql(PLANTED);
    let before = bed.replica_sql(ROWS);
    let dry = bed.run(&["reconcile", "--repair", "--dry-run"]);
    let told = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert_eq!(dry.status.code(), Some(3), "{told}");
    for line in [
        "customers: a repair would write 2 rows: 1 inserted, 1 updated, 0 deleted",
        "  insert id=5: mail=\"c5\"",
        "  update id=7: mail from \"rogue\" to \"c7\"",
        "orders: a repair would write 11 rows: 10 inserted, 0 updated, 1 deleted",
        "  insert id=4: customer=5, note=\"o4\"",
        "  delete id=90000",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert_eq!(bed.replica_sql(ROWS), before, "nothing is written");
    let would = bed.json(
        &["reconcile", "--repair", "--dry-run", "--format", "json"],
        3,
    );
    let run = bed.json(&["reconcile", "--repair", "--format", "json"], 0);
    let name = run["run"].as_str().expect("a name");
    let shown = ["reconcile", "show", name, "--rows", "--format", "json"];
    let shown = bed.json(&shown, 0);
    let rows = shown["rows"].as_array().into_iter().flatten();
    let mut written: Vec<String> = rows
        .filter(|row| row["repair"] == "repaired")
        .map(|row| format!("{} {} {}", row["table"], row["kind"], row["key"]))
        .collect();
    let mut planned = Vec::new();
    for name in ["public.customers", "public.orders"] {
        let rows = table(&would, name)["would"]["rows"].as_array();
        for row in rows.into_iter().flatten() {
            let kind = match row["write"].as_str() {
                Some("insert") => "missing",
                Some("delete") => "extra",
                _ => "different",
            };
            let key = row["key"][0]["to"].to_string();
            planned.push(format!("\"{name}\" \"{kind}\" [{key}]"));
        }
    }
    written.sort();
    planned.sort();
    assert_eq!(written.len(), 13, "{shown}");
    assert_eq!(written, planned);
    road.terminate();
}

const ROWS: &str = "select md5(string_agg(it, ',' order by it)) from (select o::text it from orders o union all select c::text from customers c) both_tables";

#[test]
fn the_brakes_hold_what_would_do_more_than_allowed() {
    if left_out() {
        return;
    }
    let bed = filled("repair_brakes");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.replica_sql("update orders set note = 'x' where id <= 500");
    let repair = [
        "reconcile",
        "--repair",
        "--table",
        "orders",
        "--format",
        "json",
    ];
    let run = bed.json(&repair, 3);
    let orders = table(&run, "public.orders");
    let why = orders["not_repaired"].as_str().unwrap_or_default();
    assert!(why.contains("25.0 %") && why.contains("max_share"), "{why}");
    assert_eq!(orders["repaired"], 0);
    let run = bed.json(&[&repair[..], &["--max-rows", "10"]].concat(), 3);
    let why = table(&run, "public.orders")["not_repaired"].to_string();
    assert!(why.contains("500 rows"), "{why}");
    let run = bed.json(&[&repair[..], &["--max-share", "0.5"]].concat(), 0);
    assert_eq!(table(&run, "public.orders")["repaired"], 500);
    road.terminate();
}

#[test]
fn where_nobody_knows_which_keys_are_parked_nothing_is_mended() {
    if left_out() {
        return;
    }
    let bed = filled("repair_unknown");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.replica_sql("update orders set note = 'rogue' where id = 7");
    bed.replica_sql("alter table keylane.parked rename to away");
    let asked = [
        "reconcile",
        "--repair",
        "--table",
        "orders",
        "--mark-within",
        "3s",
    ];
    let run = bed.run(&asked);
    bed.replica_sql("alter table keylane.away rename to parked");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(3), "{told}");
    assert!(told.contains("unproved"), "{told}");
    let note = bed.replica_sql("select note from orders where id = 7");
    assert_eq!(note, "rogue", "{told}");
    bed.json(&["reconcile", "--repair", "--format", "json"], 0);
    bed.assert_equal(&["orders"]);
    road.terminate();
}
