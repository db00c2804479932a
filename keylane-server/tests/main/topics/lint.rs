//! The rules on a real Kafka: with a pipeline, and with nothing but an address.

use std::sync::Arc;

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::{OrderHash, TopicPartition};
use keylane_core::publish::{Log as _, NewRecord, TopicSpec};
use serde_json::Value;

use crate::bed::{Bed, left_out};
use crate::commands::Shop;

const PARTITIONS: u32 = 8;

/// A topic with these records: key and partition.
fn fill(
    bootstrap: &str,
    topic: &str,
    settings: &[(&str, &str)],
    records: &[(Option<String>, u32)],
) {
    let spec = TopicSpec {
        name: topic.into(),
        partitions: PARTITIONS,
        replication_factor: 1,
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let record = |(key, partition): &(Option<String>, u32)| NewRecord {
        partition: TopicPartition::new(topic, *partition),
        key: key.clone().map(Into::into),
        value: Some("{}".into()),
        headers: Vec::<(Arc<str>, _)>::new(),
        keylane: String::new(),
        // Retention goes by it.
        timestamp_ms: keylane::workers::stats::now_us() / 1000,
    };
    let records = records.iter().map(record).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let log = KafkaLog::open(KafkaSettings::new(bootstrap)).expect("a log");
        log.ensure_topics(&[spec]).await.expect("the topic is made");
        let ticket = log.append(records).await.expect("they are taken");
        ticket.await.expect("they are written");
    });
}

/// Where the Java client puts it.
fn place(key: &str) -> u32 {
    OrderHash::of(key.as_bytes()).partition(PARTITIONS)
}

/// The rules of the findings, each with its subject.
fn found(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let findings = findings.iter();
    findings
        .map(|it| format!("{} {}", text(&it["rule"]), text(&it["subject"])))
        .collect()
}

/// The topics of this file, made once: each is right, or wrong in a way of its own.
fn topics() -> &'static str {
    static MADE: std::sync::Once = std::sync::Once::new();
    let kafka = keylane_parts::KafkaHandle::shared()
        .expect("Kafka")
        .bootstrap();
    MADE.call_once(|| {
        let keyed: Vec<(Option<String>, u32)> = (0..100)
            .map(|number| format!("key{number}"))
            .map(|key| (Some(key.clone()), place(&key)))
            .collect();
        fill(kafka, "lint.right", &[], &keyed);
        let mut twice = keyed.clone();
        twice.push((Some("key7".to_owned()), (place("key7") + 1) % PARTITIONS));
        fill(kafka, "lint.twice", &[("retention.ms", "3600000")], &twice);
        fill(kafka, "lint.nokey", &[("cleanup.policy", "compact")], &[]);
        fill(
            kafka,
            "lint.some",
            &[],
            &[(None, 0), (Some("a".to_owned()), place("a"))],
        );
    });
    kafka
}

/// The broker is one for all tests of this process: how many partitions it holds is not the question.
const MANY: &str = "latency=0,outage_ms=1000000";

/// Judges some of these topics.
fn lint(shop: &Shop, given: &str, more: &[&str], code: i32) -> Value {
    let given = format!("{MANY},{given}");
    let at = [
        "topics",
        "lint",
        "--bootstrap",
        topics(),
        "--format",
        "json",
        "--sample",
        "200ms",
        "--given",
        &given,
    ];
    shop.json(&[&at[..], more].concat(), code)
}

#[test]
fn any_kafka_is_judged_without_a_pipeline_and_what_cannot_be_is_said() {
    if left_out() {
        return;
    }
    let shop = Shop::new();
    // One broker has no three copies: that is said, and left out from here on.
    let one = lint(&shop, "", &["--topics", "lint.right"], 3);
    assert_eq!(found(&one), ["L17 the cluster"]);
    let right = lint(&shop, "", &["--topics", "lint.right", "--ignore", "L17"], 0);
    assert_eq!(right["ignored"], serde_json::json!(["L17"]));
    for rule in ["L2", "L3", "L6", "L7", "L12", "L14", "L18"] {
        let kept = right["kept"].as_array().expect("a list");
        assert!(kept.iter().any(|it| it == rule), "{rule}: {right}");
    }
    // Nothing is passed over in silence: what is not kept says what it needs.
    for rule in ["L4", "L5", "L8", "L11", "L16", "L20"] {
        let unjudged = right["not_judged"].as_array().expect("a list");
        let needs = unjudged.iter().find(|it| it["rule"] == rule);
        let needs = needs.and_then(|it| it["needs"].as_array()).map(Vec::len);
        assert!(needs.is_some_and(|count| count > 0), "{rule}: {right}");
    }
}

#[test]
fn what_is_wrong_with_topics_and_a_client_is_found_by_their_records_and_settings() {
    if left_out() {
        return;
    }
    let shop = Shop::new();
    std::fs::write(
        shop.path("app.properties"),
        "group.id=app\nkey.deserializer=x\nmax.poll.records=1000\n",
    )
    .expect("it is written");
    let wrong = [
        "--topics",
        "lint.twice,lint.no*,lint.some",
        "--ignore",
        "L17",
        "--client-properties",
        "app.properties",
    ];
    let given = "counts=1,service_ms=400,instances=9";
    assert_eq!(
        found(&lint(&shop, given, &wrong, 3)),
        [
            "L6 topic lint.twice",
            "L11 client app.properties",
            "L12 client app.properties",
            "L12 topic lint.twice",
            "L14 topic lint.nokey",
            "L1 topic lint.nokey",
            "L1 topic lint.some",
            "L1 topic lint.twice",
            "L7 topic lint.some",
            "L10 client app.properties",
            "L9 client app.properties",
        ]
    );
}

#[test]
fn the_guide_has_every_rule_and_every_input() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = std::fs::read_to_string(root.join("docs/guides/topics.md")).expect("it is there");
    for rule in keylane_core::topics::lint::Lint::ALL {
        let about = rule.about();
        let row = format!("| {} {} |", about.id, about.title);
        assert!(guide.contains(&row), "{row}");
    }
    for input in keylane_core::topics::Input::ALL {
        let name = format!("`{}`", input.described().name);
        assert!(guide.contains(&name), "{name}");
    }
}

#[test]
fn findings_as_sarif_have_the_form_of_its_version() {
    let shop = Shop::new();
    std::fs::write(
        shop.path("app.properties"),
        "group.id=app\nkey.deserializer=x\n",
    )
    .expect("it is written");
    let run = shop.run(&[
        "topics",
        "lint",
        "--client-properties",
        "app.properties",
        "--format",
        "sarif",
    ]);
    assert_eq!(
        run.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let sarif: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    // What its schema requires, and what it allows where we say something.
    assert_eq!(sarif["version"], "2.1.0");
    let runs = sarif["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 1);
    let driver = &runs[0]["tool"]["driver"];
    assert!(driver["name"].is_string());
    let rules = driver["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), 22);
    for rule in rules {
        assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
        let level = rule["defaultConfiguration"]["level"].as_str();
        assert!(level.is_some_and(|it| ["none", "note", "warning", "error"].contains(&it)));
    }
    let results = runs[0]["results"].as_array().expect("results");
    assert!(!results.is_empty());
    for result in results {
        assert!(result["message"]["text"].is_string(), "{result}");
        let index = result["ruleIndex"]
            .as_u64()
            .and_then(|it| usize::try_from(it).ok());
        let rule = index.and_then(|index| rules.get(index)).expect("a rule");
        assert_eq!(rule["id"], result["ruleId"]);
        let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(uri, "app.properties", "{result}");
    }
    let invocation = &runs[0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], true);
    for told in invocation["toolExecutionNotifications"]
        .as_array()
        .expect("a list")
    {
        assert!(told["message"]["text"].is_string() && told["associatedRule"]["id"].is_string());
    }
}

#[test]
fn a_pipeline_is_judged_by_its_origin_its_replica_and_its_cluster() {
    if left_out() {
        return;
    }
    let tables = "
        create table orders(id int primary key, total numeric);
        create table order_items(id int primary key, order_id int not null references orders, qty int);
        alter table order_items replica identity full;";
    let bed = Bed::new("topics_lint", tables);
    bed.origin_sql("insert into orders select i, i from generate_series(1, 20) i; insert into order_items select i, i, 1 from generate_series(1, 20) i");
    let at = [
        "topics", "lint", "--format", "json", "--sample", "0s", "--ignore", "L9,L17", "--given",
        MANY,
    ];
    let run = bed.run(&["run", "--until-caught-up"]);
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    // Items have a topic of their own, by their own key.
    assert_eq!(found(&bed.json(&at, 3)), ["L5 table public.order_items"]);
    let mut wiring = bed.wiring();
    wiring.topics = "partitions: 4, order_keys: { public.order_items: [order_id] }, topic_of: { public.order_items: public.orders }".to_owned();
    bed.configure(&[wiring]);
    // Together now, but in a topic that has one partition.
    let report = bed.json(&at, 3);
    assert_eq!(found(&report), ["L4 topic topics_lint.public.orders"]);
    let kept = report["kept"].as_array().expect("a list");
    for rule in ["L5", "L11", "L16", "L22"] {
        assert!(kept.iter().any(|it| it == rule), "{rule}: {report}");
    }
    // Without asking anybody, what needs an answer is not judged.
    let offline = bed.json(&[&at[..], &["--offline"]].concat(), 0);
    let unjudged = offline["not_judged"].to_string();
    assert!(
        unjudged.contains("L4") && unjudged.contains("L5"),
        "{offline}"
    );
}

#[test]
fn what_cannot_be_judged_at_all_ends_with_the_code_that_says_so() {
    let shop = Shop::new();
    let code = |arguments: &[&str]| {
        shop.run(&[&["topics", "lint"], arguments].concat())
            .status
            .code()
    };
    assert_eq!(code(&[]), Some(2), "no configuration, no cluster");
    assert_eq!(code(&["--bootstrap", "127.0.0.1:1"]), Some(4));
    assert_eq!(
        code(&["--bootstrap", "127.0.0.1:1", "--ignore", "L99"]),
        Some(2)
    );
    assert_eq!(
        code(&["--client-properties", "nowhere.properties"]),
        Some(2)
    );
    assert_eq!(code(&["--given", "service=1"]), Some(2));
    shop.init();
    assert_eq!(code(&["--offline"]), Some(0));
}
