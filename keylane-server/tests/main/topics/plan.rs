//! Plans of real origins against expectations that were worked out by hand.

use std::collections::{BTreeMap, BTreeSet};

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::Log as _;
use serde_json::Value;

use crate::bed::{Bed, left_out};
use crate::commands::Shop;

/// Each topic as `name[partitions]: table(order key) …`.
fn told(plan: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let topics = plan["topics"].as_array().cloned().unwrap_or_default();
    topics
        .iter()
        .map(|topic| {
            let tables = topic["tables"].as_array().cloned().unwrap_or_default();
            let tables = tables.iter().map(|table| {
                let table = text(table);
                let key = topic["order_keys"][&table].as_array().cloned();
                let key: Vec<String> = key.unwrap_or_default().iter().map(text).collect();
                format!("{table}({})", key.join(","))
            });
            let tables: Vec<String> = tables.collect();
            format!(
                "{}[{}]: {}",
                text(&topic["name"]),
                topic["partitions"],
                tables.join(" ")
            )
        })
        .collect()
}

/// What pgbench makes with `-i --foreign-keys`.
const PGBENCH: &str = "
    create table pgbench_branches(bid int not null primary key, bbalance int, filler char(88));
    create table pgbench_tellers(tid int not null primary key, bid int references pgbench_branches, tbalance int, filler char(84));
    create table pgbench_accounts(aid int not null primary key, bid int references pgbench_branches, abalance int, filler char(84));
    create table pgbench_history(tid int references pgbench_tellers, bid int references pgbench_branches, aid int references pgbench_accounts, delta int, mtime timestamp, filler char(22));";

#[test]
fn pgbench_has_four_topics_and_the_hot_branches_are_told() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("topics_pgbench");
    bed.origin_sql(PGBENCH);
    let rates = bed.folder.path().join("rates.yaml");
    // One transaction changes a row of each table: 4,000/s, a quarter each.
    std::fs::write(
        &rates,
        "pgbench_accounts: 1000\npgbench_branches: 1000\npgbench_tellers: 1000\npgbench_history: 1000\n",
    )
    .expect("it is written");
    let (url, rates) = (bed.origin_url(), rates.display().to_string());
    let arguments = [
        "topics", "plan", "--origin", &url, "--rates", &rates, "--format", "json",
    ];
    let plan = bed.json(&arguments, 0);
    // Every foreign key may be NULL: a row may be without its parent, so none follows one. The history has no key: one order, one partition.
    let prefix = "topics_pgbench_origin.public";
    assert_eq!(
        told(&plan),
        [
            format!("{prefix}.pgbench_accounts[2]: public.pgbench_accounts(aid)"),
            format!("{prefix}.pgbench_branches[2]: public.pgbench_branches(bid)"),
            format!("{prefix}.pgbench_history[1]: public.pgbench_history()"),
            format!("{prefix}.pgbench_tellers[2]: public.pgbench_tellers(tid)"),
        ]
    );
    let warnings = plan["warnings"].to_string();
    assert!(
        warnings.contains("public.pgbench_history") && warnings.contains("no primary key"),
        "{warnings}"
    );
    // 3 × 4,000/s × 1 ms = 12 threads of 2 × 4.
    assert!(warnings.contains("12 threads busy"), "{warnings}");
    // Scale 1 has one branch: every transaction changes it.
    let what_if = bed.json(
        &[&arguments[..], &["--what-if", "hot_key=1,service_ms=2"]].concat(),
        0,
    );
    let told = what_if["what_if"]["changes"].to_string();
    assert!(told.contains("lets 500/s through"), "{told}");
}

/// Reads the shared topic back: the records of an order and those of its items are in one partition.
fn each_order_lies_with_its_items(bed: &Bed) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let records = runtime.block_on(async {
        let log = KafkaLog::open(KafkaSettings::new(&*bed.kafka)).expect("a log");
        let mut all = Vec::new();
        for number in 0..2 {
            let partition = TopicPartition::new("topics_shop.public.orders", number);
            let read = log
                .read(&partition, Offset(0), 64 << 20)
                .await
                .expect("it is read");
            all.extend(read.into_iter().map(|record| (number, record)));
        }
        all
    });
    let mut places: BTreeMap<i64, BTreeSet<u32>> = BTreeMap::new();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for (partition, record) in records {
        let Some(value) = record.value else { continue };
        let value: Value = serde_json::from_slice(&value).expect("an envelope");
        let table = value["source"]["table"].as_str().unwrap_or_default();
        let column = if table == "orders" { "id" } else { "order_id" };
        let order = value["after"][column].as_i64().expect("an order");
        places.entry(order).or_default().insert(partition);
        *counts.entry(table.to_owned()).or_default() += 1;
    }
    let expect = [("order_items", 600), ("orders", 200), ("shipments", 100)];
    assert_eq!(
        counts,
        expect
            .map(|(table, count)| (table.to_owned(), count))
            .into()
    );
    assert!(
        places.values().all(|partitions| partitions.len() == 1),
        "{places:?}"
    );
    let used: BTreeSet<u32> = places.values().flatten().copied().collect();
    assert_eq!(used.len(), 2, "both partitions are used");
}

#[test]
fn a_shop_of_three_levels_is_planned_by_its_rates_and_its_yaml_is_taken_as_it_is() {
    if left_out() {
        return;
    }
    let tables = "
        create table customers(id int primary key, name text);
        create table products(id int primary key, title text);
        create table orders(id int primary key, customer_id int not null references customers, total numeric);
        create table order_items(id int primary key, product_id int not null references products, order_id int not null references orders, qty int);
        create table shipments(order_id int not null references orders, no int not null, primary key(order_id, no));
        alter table order_items replica identity full;";
    let bed = Bed::new("topics_shop", tables);
    bed.origin_sql(
        "insert into customers select i, 'c' from generate_series(1, 10) i;
         insert into products select i, 'p' from generate_series(1, 10) i;
         insert into orders select i, 1 + i % 10, i from generate_series(1, 200) i;
         insert into order_items select i, 1 + i % 10, 1 + i % 200, 1 from generate_series(1, 600) i;
         insert into shipments select i, 1 from generate_series(1, 100) i;
         select pg_stat_force_next_flush();",
    );
    let plan = bed.json(&["topics", "plan", "--format", "json"], 0);
    // Items refer to a product first, but orders come into being with them: of the parents they change most. Shipments hold their order in their key.
    // No order knows more than its customer's number, which is not in its key: the chain ends at the order.
    assert_eq!(
        told(&plan),
        [
            "topics_shop.public.customers[2]: public.customers(id)",
            "topics_shop.public.orders[2]: public.orders(id) public.order_items(order_id) public.shipments(order_id)",
            "topics_shop.public.products[2]: public.products(id)",
        ]
    );
    assert!(
        plan["topics"][1]["changes_per_s"]
            .as_f64()
            .is_some_and(|rate| rate > 0.0),
        "{plan}"
    );
    let inputs = plan["inputs"].to_string();
    assert!(
        inputs.contains(r#""name":"brokers","said":"measured","value":1.0"#),
        "{inputs}"
    );
    // The plan in the place of the topics block: the configuration's own reader takes it, and the road does it.
    let block = bed.run(&["topics", "plan", "--output", "yaml"]);
    let block = String::from_utf8(block.stdout).expect("text");
    let text = std::fs::read_to_string(bed.config()).expect("it is there");
    let text = text.replace("    topics: { partitions: 1 }\n", &block);
    assert!(text.contains("public.order_items: public.orders"), "{text}");
    std::fs::write(bed.config(), text).expect("it is written");
    let config = keylane_server::config::Config::load(&bed.config()).expect("it is read");
    let pipeline = config.pipelines.values().next().expect("one");
    assert_eq!(
        pipeline.topics.order_key_of(Some("public"), "shipments"),
        Some(&["order_id".to_owned()][..])
    );
    let run = bed.run(&["run", "--until-caught-up"]);
    let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{stderr}");
    each_order_lies_with_its_items(&bed);
    bed.assert_equal(&[
        "customers",
        "orders",
        "order_items",
        "products",
        "shipments",
    ]);
}

#[test]
fn a_thousand_tables_are_planned_within_what_the_brokers_bear() {
    let shop = Shop::new();
    let mut sql = String::from("DROP TABLE orders; DROP TABLE customers;");
    for number in 0..500 {
        sql.push_str(&format!(
            "CREATE TABLE whole{number:03}(id INTEGER PRIMARY KEY); CREATE TABLE whole{number:03}_part(id INTEGER PRIMARY KEY, whole INTEGER NOT NULL REFERENCES whole{number:03}(id));"
        ));
    }
    shop.sql("origin.db", &format!("BEGIN; {sql} COMMIT;"));
    let plan = shop.json(
        &[
            "topics",
            "plan",
            "--origin",
            "sqlite:origin.db",
            "--format",
            "json",
            "--what-if",
            "rate=1000",
        ],
        0,
    );
    // 500 parts follow their wholes: 500 topics. Three brokers with three copies bear 900 partitions where latency matters; two each would be 1,000, so 100 of them have one.
    let topics = plan["topics"].as_array().expect("a list");
    assert_eq!(topics.len(), 500);
    assert!(
        topics
            .iter()
            .all(|topic| topic["tables"].as_array().is_some_and(|it| it.len() == 2))
    );
    assert_eq!(plan["partitions"], 900);
    assert!(
        plan["bounds"]
            .as_array()
            .is_some_and(|it| it.iter().all(|bound| bound["kept"] == true)),
        "{}",
        plan["bounds"]
    );
    // Pictures of all of it are well formed.
    let svg = shop.run(&[
        "topics",
        "plan",
        "--origin",
        "sqlite:origin.db",
        "--output",
        "svg",
    ]);
    let svg = String::from_utf8(svg.stdout).expect("text");
    assert!(
        svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
        "{}",
        svg.len()
    );
    assert_eq!(svg.matches("<text ").count(), 1500);
    let chart = shop.run(&[
        "topics",
        "plan",
        "--origin",
        "sqlite:origin.db",
        "--output",
        "mermaid",
    ]);
    let chart = String::from_utf8(chart.stdout).expect("text");
    assert_eq!(chart.matches(" --> ").count(), 500);
}

#[test]
fn what_cannot_be_planned_ends_with_the_code_that_says_so() {
    let shop = Shop::new();
    let code = |arguments: &[&str]| {
        shop.run(&[&["topics", "plan"], arguments].concat())
            .status
            .code()
    };
    assert_eq!(code(&[]), Some(2), "no configuration, no origin");
    assert_eq!(code(&["--origin", "sqlite:nowhere.db"]), Some(4));
    assert_eq!(
        code(&["--origin", "postgres://keylane@127.0.0.1:1/shop"]),
        Some(4)
    );
    assert_eq!(
        code(&["--origin", "sqlite:origin.db", "--what-if", "rtae=1"]),
        Some(2)
    );
    assert_eq!(
        code(&["--origin", "sqlite:origin.db", "--rates", "nowhere.yaml"]),
        Some(2)
    );
    assert_eq!(code(&["--origin", "sqlite:origin.db"]), Some(0));
}
