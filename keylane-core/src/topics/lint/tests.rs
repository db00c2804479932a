//! Each rule has a case in which it speaks, and one in which it does not; and each says what it wants when it knows nothing.

use std::collections::BTreeMap;

use super::*;
use crate::model::{OrderHash, TableName, murmur2};
use crate::topics::{BeforeImage, Input, Inputs, Rate, Reference, Said, Table, plan};

mod delivering;
mod ordering;
mod sizes;

/// What the rule says of these facts: `None` if it could not be judged at all, else its findings as `subject: evidence`.
fn judged(rule: Lint, facts: &Facts) -> Option<Vec<String>> {
    let report = lint(facts);
    let whole = report.unjudged.iter();
    let unjudged = whole.filter(|it| !it.in_part).any(|it| it.rule == rule);
    let findings = report.findings.iter().filter(|it| it.rule == rule);
    let findings = findings.map(|it| format!("{}: {} → {}", it.subject, it.evidence, it.fix));
    (!unjudged).then(|| findings.collect())
}

/// The rule speaks once, and says all of these words.
fn speaks(rule: Lint, facts: &Facts, words: &[&str]) {
    let told = judged(rule, facts).unwrap_or_default();
    assert_eq!(told.len(), 1, "{rule:?}: {told:?}");
    for word in words {
        assert!(told[0].contains(word), "{word:?} is not in {told:?}");
    }
}

/// The rule is judged, and kept.
fn is_kept(rule: Lint, facts: &Facts) {
    assert_eq!(judged(rule, facts), Some(Vec::new()), "{rule:?}");
    assert!(lint(facts).kept.contains(&rule), "{rule:?}");
}

/// The rule cannot be judged, and says that it needs this.
fn needs(rule: Lint, facts: &Facts, word: &str) {
    let report = lint(facts);
    let unjudged = report.unjudged.iter().find(|it| it.rule == rule);
    let wanted = unjudged.map(|it| it.needs.join("; ")).unwrap_or_default();
    assert!(
        wanted.contains(word),
        "{rule:?}: {word:?} is not in {wanted:?}"
    );
}

fn given(inputs: &[(Input, f64)]) -> Inputs {
    let mut all = Inputs::default();
    for (input, value) in inputs {
        all.set(*input, *value, Said::Given).expect("in range");
    }
    all
}

/// Eight partitions with three copies, records that were read, everything in order.
fn topic(name: &str) -> Topic {
    let settings = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "604800000"),
        ("min.insync.replicas", "2"),
    ];
    Topic {
        name: name.to_owned(),
        partitions: 8,
        copies_min: 3,
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        records: 1000,
        records_per_s: Some(100.0),
        sample: (0..300)
            .map(|key| by_murmur(&format!("k{key}"), 8))
            .collect(),
    }
}

/// A record where the Java client puts it.
fn by_murmur(key: &str, partitions: u32) -> Sampled {
    Sampled {
        partition: OrderHash(murmur2(key.as_bytes())).partition(partitions),
        key: Some(key.as_bytes().to_vec()),
        bytes: 500,
        is_keylanes: false,
    }
}

/// Three brokers that hold and lead what is given.
fn cluster(topics: Vec<Topic>) -> Cluster {
    Cluster {
        replicas: (1..=3).map(|broker| (broker, 100)).collect(),
        leaders: (1..=3).map(|broker| (broker, 33)).collect(),
        copies_max: 3,
        offers_consumer_protocol: Some(true),
        transactions: false,
        topics,
        groups: vec![Group {
            name: "readers".to_owned(),
            members: 2,
            assignor: Some("cooperative-sticky".to_owned()),
            committed: 8,
            topics: vec!["orders".to_owned()],
        }],
        sampled_s: 30.0,
    }
}

fn live(change: impl FnOnce(&mut Cluster)) -> Facts {
    live_with(&[], change)
}

fn live_with(inputs: &[(Input, f64)], change: impl FnOnce(&mut Cluster)) -> Facts {
    let mut cluster = cluster(vec![topic("orders")]);
    change(&mut cluster);
    Facts {
        cluster: Some(cluster),
        inputs: given(inputs),
        ..Facts::default()
    }
}

/// A consumer's settings that are right, and these over them; an empty one is taken away.
fn client(settings: &[(&str, &str)]) -> Facts {
    client_with(&[], settings)
}

fn client_with(inputs: &[(Input, f64)], settings: &[(&str, &str)]) -> Facts {
    Facts {
        clients: vec![named("app", settings)],
        inputs: given(inputs),
        ..Facts::default()
    }
}

fn named(name: &str, settings: &[(&str, &str)]) -> Client {
    let right = [
        ("group.id", "app"),
        ("group.protocol", "consumer"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "none"),
        ("isolation.level", "read_committed"),
    ];
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in right.iter().chain(settings) {
        all.insert((*name).to_owned(), (*value).to_owned());
    }
    all.retain(|_, value| !value.is_empty());
    Client {
        name: name.to_owned(),
        settings: all,
    }
}

fn pipeline() -> Pipeline {
    Pipeline {
        name: "shop".to_owned(),
        topics: BTreeMap::from([("orders".to_owned(), 8), ("items".to_owned(), 8)]),
        copies: 3,
        settings: BTreeMap::new(),
        over_kafka: true,
        retention_hours: None,
        threads_max: 32,
        batch_rows: 1000,
        consumer_protocol: true,
        is_static: false,
        session_timeout_ms: 10_000,
        connections: Some((100, 5)),
        planned: None,
    }
}

fn configured(change: impl FnOnce(&mut Pipeline)) -> Facts {
    let mut pipeline = pipeline();
    change(&mut pipeline);
    Facts {
        pipelines: vec![pipeline],
        ..Facts::default()
    }
}

/// Orders and their items, by a plan that has them together, and as they are configured.
fn planned(orders_per_s: f64, items: (&str, &str)) -> Planned {
    let table = |name: &str, references: Vec<Reference>| Table {
        name: TableName::new("public", name),
        key: vec!["id".into()],
        references,
        before: BeforeImage::Whole,
        rows: None,
        rate: Some(Rate {
            changes_per_s: orders_per_s,
            bytes_per_change: Some(1000.0),
        }),
    };
    let to_order = Reference {
        columns: vec!["order_id".into()],
        parent: TableName::new("public", "orders"),
        parent_columns: vec!["id".into()],
        required: true,
        cascades: false,
    };
    let tables = [table("orders", vec![]), table("items", vec![to_order])];
    let goes = |topic: &str, by: &str| (topic.to_owned(), vec![by.to_owned()]);
    Planned {
        plan: plan(&tables, &Inputs::default()),
        configured: BTreeMap::from([
            ("public.orders".to_owned(), goes("orders", "id")),
            ("public.items".to_owned(), goes(items.0, items.1)),
        ]),
    }
}

#[test]
fn who_knows_nothing_says_of_every_rule_what_it_needs() {
    let report = lint(&Facts::default());
    assert!(report.findings.is_empty() && report.kept.is_empty());
    let unjudged: Vec<Lint> = report.unjudged.iter().map(|it| it.rule).collect();
    assert_eq!(unjudged, Lint::ALL);
    for it in report.unjudged {
        assert!(!it.needs.is_empty() && !it.in_part, "{:?}", it.rule);
    }
}

#[test]
fn every_rule_is_told_as_judged_or_not_judged_whatever_is_known() {
    let mut all = live(|_| {});
    all.pipelines.push(pipeline());
    all.clients.push(named("app", &[]));
    let empty = live(|cluster| cluster.topics.clear());
    for facts in [live(|_| {}), empty, client(&[]), configured(|_| {}), all] {
        let report = lint(&facts);
        let unjudged = report.unjudged.iter();
        let silent: Vec<Lint> = unjudged
            .filter(|it| it.needs.is_empty())
            .map(|it| it.rule)
            .collect();
        assert_eq!(silent, [], "they say nothing of what they need");
        for rule in Lint::ALL {
            let told = report.kept.contains(&rule)
                || report.findings.iter().any(|it| it.rule == rule)
                || report.unjudged.iter().any(|it| it.rule == rule);
            assert!(told, "{rule:?}");
        }
    }
}

#[test]
fn the_worst_findings_come_first() {
    let facts = live(|cluster| {
        cluster.topics[0].settings.remove("cleanup.policy");
        cluster.topics[0].sample[0].key = None;
        cluster.topics[0].sample[2] = Sampled {
            partition: (cluster.topics[0].sample[1].partition + 1) % 8,
            ..cluster.topics[0].sample[1].clone()
        };
        cluster.groups[0].assignor = Some("range".to_owned());
    });
    let told: Vec<Lint> = lint(&facts).findings.iter().map(|it| it.rule).collect();
    assert_eq!(told, [Lint::L6, Lint::L7, Lint::L9]);
}
