//! `keylane trace`: a row's whole way.

use crate::bed::{Bed, left_out};

const TABLES: &str = "
create table if not exists orders (id int primary key, note text);
create table if not exists lines (number int, line int, note text, primary key (number, line));";

#[test]
fn a_row_is_followed_from_the_origin_over_its_records_to_the_replica() {
    if left_out() {
        return;
    }
    let bed = Bed::new("trace_road", TABLES);
    bed.configure(&[bed.wiring()]);
    bed.origin_sql("insert into orders select n, 'o' || n from generate_series(1, 50) n");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.origin_sql("update orders set note = 'second' where id = 7");
    bed.origin_sql("update orders set note = 'third' where id = 7");
    bed.origin_sql("insert into lines values (1, 2, 'x')");
    bed.settle(&road);
    let trace = bed.json(&["trace", "orders", "7", "--format", "json"], 0);
    assert_eq!(trace["origin"]["note"], "third");
    assert_eq!(trace["replica"], trace["origin"]);
    let records = trace["records"].as_array().expect("records");
    let ops: Vec<&str> = records.iter().filter_map(|it| it["op"].as_str()).collect();
    assert_eq!(ops, ["read", "update", "update"]);
    assert!(
        records
            .iter()
            .all(|it| it["applied"] == true && it["partition"] == trace["partition"]),
        "{trace}"
    );
    assert_eq!(trace["reconciled"], serde_json::Value::Null);

    bed.replica_sql("update orders set note = 'rogue' where id = 7");
    bed.json(&["reconcile", "--repair", "--format", "json"], 0);
    let trace = bed.json(
        &["trace", "public.orders", "{\"id\":7}", "--format", "json"],
        0,
    );
    let last = &trace["reconciled"];
    assert_eq!(
        (&last["verdict"], &last["row_kind"], &last["row_repair"]),
        (&"equal".into(), &"different".into(), &"repaired".into())
    );

    let trace = bed.json(
        &["trace", "lines", "line=2,number=1", "--format", "json"],
        0,
    );
    assert_eq!(trace["replica"]["note"], "x");
    let nobody = bed.run(&["trace", "orders", "99999"]);
    let text = String::from_utf8_lossy(&nobody.stdout).into_owned();
    assert!(
        text.contains("origin    no row") && text.contains("none was found"),
        "{text}"
    );
    let wrong = bed.run(&["trace", "lines", "1"]);
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        wrong.status.code() == Some(2) && text.contains("number=…,line=…"),
        "{text}"
    );
    let wrong = bed.run(&["trace", "nothing", "1"]);
    assert_eq!(wrong.status.code(), Some(2));
    road.terminate();
}
