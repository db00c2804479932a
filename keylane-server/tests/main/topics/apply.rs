//! Topics made as they are to be, on a real Kafka: what is safe is done, what is not is refused with a way that works.

use serde_json::Value;

use crate::bed::{Bed, left_out};
use crate::commands::Shop;

/// Each topic that is not as it should be, with what is done about it.
fn actions(told: &Value) -> Vec<String> {
    let topics = told["pipelines"][0]["topics"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let actions = topics.iter().map(|topic| {
        let made = if topic["made"] == true { " made" } else { "" };
        format!("{} {}{made}", text(&topic["action"]), text(&topic["topic"]))
    });
    actions
        .filter(|action| !action.starts_with("keep"))
        .collect()
}

fn configure(bed: &Bed, topics: &str) {
    let mut wiring = bed.wiring();
    wiring.topics = topics.to_owned();
    bed.configure(&[wiring]);
}

/// Topics of two and three partitions that keep changes for a day.
const DAY: &str = "partitions: 2, properties: { retention.ms: \"86400000\" }, partitions_of: { public.orders: 3 }";

/// A pipeline of two tables, configured so, nothing made yet.
fn bed(name: &'static str) -> Bed {
    let tables = "create table orders(id int primary key, v int); create table notes(id int primary key, v int);";
    let bed = Bed::new(name, tables);
    bed.origin_sql("insert into orders select i, i from generate_series(1, 50) i; insert into notes select i, i from generate_series(1, 50) i");
    configure(&bed, DAY);
    bed
}

fn apply(bed: &Bed, more: &[&str], code: i32) -> Value {
    bed.json(
        &[&["topics", "apply", "--format", "json"], more].concat(),
        code,
    )
}

fn run(bed: &Bed) {
    let run = bed.run(&["run", "--until-caught-up"]);
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

/// The same done with each of these topics of a pipeline.
fn each(what: &str, pipeline: &str, topics: &[&str], how: &str) -> Vec<String> {
    let topics = topics.iter();
    topics
        .map(|topic| format!("{what} {pipeline}.{topic}{how}"))
        .collect()
}

const TABLES: [&str; 2] = ["public.notes", "public.orders"];
const ALL: [&str; 3] = ["public.notes", "public.orders", "keylane"];

#[test]
fn missing_topics_are_made_and_what_is_safe_is_altered() {
    if left_out() {
        return;
    }
    let bed = bed("topics_made");
    let name = bed.name;
    // Shown, not done.
    for _ in 0..2 {
        let told = apply(&bed, &["--dry-run"], 0);
        assert_eq!(actions(&told), each("create", name, &ALL, ""));
    }
    let told = apply(&bed, &[], 0);
    assert_eq!(actions(&told), each("create", name, &ALL, " made"));
    assert_eq!(told["pipelines"][0]["topics"][1]["partitions"], 3);
    assert_eq!(actions(&apply(&bed, &[], 0)), Vec::<String>::new());
    // The road takes them as they are.
    run(&bed);
    bed.assert_equal(&["orders", "notes"]);
    // A longer retention is safe, and nothing else of the topic changes.
    configure(&bed, &DAY.replace("86400000", "172800000"));
    let told = apply(&bed, &[], 0);
    assert_eq!(actions(&told), each("alter", name, &TABLES, " made"));
    assert_eq!(
        actions(&apply(&bed, &["--dry-run"], 0)),
        Vec::<String>::new()
    );
}

#[test]
fn what_would_move_keys_is_refused_and_the_drained_way_leads_there() {
    if left_out() {
        return;
    }
    let bed = bed("topics_refused");
    run(&bed);
    // A shorter retention loses what is not read yet; more partitions move keys.
    let other = DAY
        .replace("86400000", "3600000")
        .replace("orders: 3", "orders: 6");
    configure(&bed, &other);
    let told = apply(&bed, &[], 3);
    assert_eq!(actions(&told), each("refuse", bed.name, &TABLES, ""));
    let refused = told["pipelines"][0]["topics"][1]["refused"].to_string();
    assert!(
        refused.contains("KL-TOPICS-004") && refused.contains("KL-TOPICS-005"),
        "{refused}"
    );
    assert!(
        refused.contains("topics.prefix: topics_refused2"),
        "{refused}"
    );
    let text = bed.run(&["topics", "apply", "--dry-run"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let line = "✗ topics_refused.public.orders: 6 partitions instead of 3 is refused";
    assert!(text.contains(line), "{text}");
    // The way that it names.
    configure(&bed, DAY);
    let road = bed.start(&[]);
    bed.settle(&road);
    road.terminate();
    bed.origin_sql("update orders set v = -v where id <= 10; delete from notes where id = 7");
    let anew = format!(
        "prefix: topics_refused2, {}",
        DAY.replace("orders: 3", "orders: 6")
    );
    configure(&bed, &anew);
    let told = apply(&bed, &[], 0);
    assert_eq!(
        actions(&told),
        each("create", "topics_refused2", &ALL, " made")
    );
    run(&bed);
    bed.assert_equal(&["orders", "notes"]);
    assert_eq!(
        bed.replica_sql("select count(*) from notes where id = 7"),
        "0"
    );
}

#[test]
fn there_is_nothing_to_apply_to_the_embedded_log() {
    let shop = Shop::new();
    assert_eq!(
        shop.run(&["topics", "apply"]).status.code(),
        Some(2),
        "no configuration"
    );
    shop.init();
    let told = shop.json(&["topics", "apply", "--format", "json"], 0);
    assert_eq!(told["pipelines"], serde_json::json!([]));
}
