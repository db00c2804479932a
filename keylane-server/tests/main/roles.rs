//! The roles of docs/guides/security.md are enough for the whole road, and `check` misses each right that is taken away.

use std::path::Path;
use std::time::Duration;

use keylane_parts::{
    Authority, Kafka, KafkaListener, KafkaOptions, Postgres, PostgresOptions, PostgresVersion,
    wait_until,
};

use crate::site::{Ended, PATIENCE, Site, terminate};

/// The longest that a refusal may take: a person looks on.
const SOON: Duration = Duration::from_secs(15);
const PASSWORD: &str = "choose-one";
const TABLES: &str = "create schema sales;
    create table sales.customers(id int primary key, name text);
    create table sales.orders(id int primary key, customer int references sales.customers, total int)";

/// The block of the guide that stands behind this mark.
pub(crate) fn documented(mark: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/security.md");
    let text = std::fs::read_to_string(guide).expect("the guide is there");
    let (_, behind) = text
        .split_once(&format!("<!-- tested: {mark} -->"))
        .expect("the guide has the mark");
    let block = behind
        .split("```")
        .nth(1)
        .expect("a block stands behind it");
    let (_language, block) = block.split_once('\n').expect("the block has lines");
    block.to_owned()
}

/// An origin and a replica in one server that asks for passwords; the origin's tables belong to `shop_owner`.
struct Databases {
    server: Postgres,
}

impl Databases {
    fn start() -> Databases {
        let options = PostgresOptions::new(PostgresVersion::V15).password("the-administrators");
        let databases = Databases {
            server: Postgres::start(options).expect("PostgreSQL starts"),
        };
        for statement in [
            "create role shop_owner login",
            "create database shop owner shop_owner",
            "create database reports",
        ] {
            databases.ask("postgres", statement);
        }
        databases.ask("shop", &format!("set role shop_owner; {TABLES}; insert into sales.customers values (1, 'a'), (2, 'b'); insert into sales.orders values (10, 1, 5)"));
        let statements = documented("origin");
        let (administrator, owner) = statements
            .split_once("CREATE PUBLICATION")
            .expect("the owner's part");
        databases.ask("shop", administrator);
        databases.ask(
            "shop",
            &format!("set role shop_owner; CREATE PUBLICATION{owner}"),
        );
        databases
    }

    fn ask(&self, database: &str, sql: &str) -> String {
        self.server.psql(database, sql).expect(sql)
    }

    fn site(&self, creates: bool) -> Site {
        let site = Site::new();
        let port = self.server.port();
        let url = |role: &str, database: &str| {
            format!("postgres://{role}:{PASSWORD}@127.0.0.1:{port}/{database}")
        };
        let (origin, replica) = (
            url("keylane_origin", "shop"),
            url("keylane_replica", "reports"),
        );
        let pipeline = format!(
            "    origin: {{ postgres: {{ url: '{origin}' }} }}\n    replica: {{ postgres: {{ url: '{replica}' }} }}\n    apply: {{ create_tables: {creates} }}"
        );
        site.configure("", &pipeline);
        site
    }
}

/// The whole road: copy, every kind of change, a row that is parked, redriven and discarded, and every command that looks.
fn walk(databases: &Databases, site: &Site) {
    assert_eq!(site.failed_checks(), []);
    let road = site.start(&["run"], "run.log");
    let log = || std::fs::read_to_string(site.path("run.log")).unwrap_or_default();
    let settle = || {
        let settled = wait_until("the road to settle", PATIENCE, || {
            Ok(site.run(&["settle", "--timeout", "10s"]).code == Some(0))
        });
        assert!(settled.is_ok(), "{}", log());
    };
    let at_origin = |sql: &str| databases.ask("shop", &format!("set role shop_owner; {sql}"));
    let orders = || {
        let sql = "select string_agg(id || ':' || total, ' ' order by id) from sales.orders";
        let there = databases.server.psql("reports", sql);
        there.unwrap_or_else(|error| error.to_string())
    };
    let copied = wait_until("the copy", PATIENCE, || Ok(orders() == "10:5"));
    assert!(copied.is_ok(), "{}", log());
    at_origin(
        "insert into sales.orders values (11, 2, 7), (12, 2, 8); update sales.orders set total = 6 where id = 10; delete from sales.orders where id = 12",
    );
    settle();
    assert_eq!(orders(), "10:6 11:7");
    databases.ask(
        "reports",
        "alter table sales.orders add constraint small check (total < 100)",
    );
    at_origin("insert into sales.orders values (20, 1, 500), (21, 1, 501)");
    settle();
    let parked = site.run(&["parked", "list", "--format", "json"]);
    assert!(
        parked.stdout.matches("KL-APPLY-004").count() == 2,
        "{}{}",
        parked.stdout,
        parked.stderr
    );
    let parked: serde_json::Value = serde_json::from_str(&parked.stdout).expect("JSON");
    let list = parked
        .as_array()
        .or(parked["parked"].as_array())
        .expect("a list");
    let id = list
        .first()
        .map(|one| one["id"].to_string().replace('"', ""))
        .expect("an id");
    for command in [
        &["parked", "show", &id][..],
        &["parked", "discard", &id, "--yes"],
        &["status"],
    ] {
        let ended = site.run(command);
        assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    }
    databases.ask("reports", "alter table sales.orders drop constraint small");
    assert_eq!(site.run(&["parked", "redrive", "--all"]).code, Some(0));
    let redriven = wait_until("the parked row", PATIENCE, || Ok(orders().contains(":50")));
    assert!(redriven.is_ok(), "{}", log());
    at_origin("truncate sales.orders");
    settle();
    assert_eq!(orders(), "");
    terminate(road, &site.path("run.log"));
}

#[test]
fn the_documented_roles_are_enough_where_keylane_makes_its_tables() {
    if keylane_parts::quick() {
        return;
    }
    let databases = Databases::start();
    databases.ask("reports", &documented("replica that creates"));
    walk(&databases, &databases.site(true));
}

#[test]
fn the_documented_roles_are_enough_where_an_administrator_makes_the_tables() {
    if keylane_parts::quick() {
        return;
    }
    let databases = Databases::start();
    databases.ask("reports", TABLES);
    databases.ask("reports", &documented("replica that is prepared"));
    let site = databases.site(false);
    walk(&databases, &site);
    // What Keylane makes itself is the same.
    let shape = "select string_agg(table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '') || coalesce(collation_name, '') || is_identity, E'\n' order by table_name, ordinal_position)
                 || (select string_agg(indexdef, E'\n' order by indexdef) from pg_indexes where schemaname = 'keylane') || (select string_agg(relname || coalesce(reloptions::text, ''), ' ' order by relname) from pg_class where relnamespace = 'keylane'::regnamespace)
                 from information_schema.columns where table_schema = 'keylane'";
    let documented = databases.ask("reports", shape);
    databases.ask("postgres", "create database other");
    databases.ask("other", TABLES);
    let other = Site::new();
    let port = databases.server.port();
    let url = |database: &str| {
        format!("postgres://postgres:the-administrators@127.0.0.1:{port}/{database}")
    };
    other.configure("", &format!("    origin: {{ postgres: {{ url: '{}', slot: other, publication: other }} }}\n    replica: {{ postgres: {{ url: '{}' }} }}", url("shop"), url("other")));
    other.catch_up();
    assert_eq!(documented, databases.ask("other", shape));
    each_right_is_missed(&databases, &site);
}

fn each_right_is_missed(databases: &Databases, site: &Site) {
    let mut rights = vec![
        ("reports", "usage on schema sales", "keylane_replica"),
        ("reports", "usage on schema keylane", "keylane_replica"),
        ("reports", "select on keylane.meta", "keylane_replica"),
        ("shop", "usage on schema sales", "keylane_origin"),
        ("shop", "select on sales.orders", "keylane_origin"),
    ];
    for right in ["select", "insert", "update"] {
        rights.push((
            "reports",
            format!("{right} on keylane.progress").leak(),
            "keylane_replica",
        ));
    }
    for right in ["select", "insert", "update", "delete"] {
        rights.push((
            "reports",
            format!("{right} on keylane.parked").leak(),
            "keylane_replica",
        ));
    }
    for right in ["select", "insert", "update", "delete", "truncate"] {
        rights.push((
            "reports",
            format!("{right} on sales.customers").leak(),
            "keylane_replica",
        ));
    }
    for (database, right, role) in rights {
        databases.ask(database, &format!("revoke {right} from {role}"));
        let failed = site.failed_checks();
        assert!(!failed.is_empty(), "{right} of {role} is not missed");
        databases.ask(database, &format!("grant {right} to {role}"));
    }
    databases.ask("shop", "alter role keylane_origin noreplication");
    let failed = site.failed_checks();
    assert!(
        failed.iter().any(|(id, _)| id == "origin.replication_role"),
        "{failed:?}"
    );
    databases.ask("shop", "alter role keylane_origin replication");
    databases.ask("shop", "drop publication keylane_shop");
    let failed = site.failed_checks();
    assert!(
        failed.iter().any(|(id, _)| id == "origin.publication"),
        "{failed:?}"
    );
}

/// A Kafka that gives the documented rights and no others. The authority keeps its files.
fn kafka_with_rights() -> (Kafka, Authority) {
    let authority = Authority::new("the brokers' authority").expect("openssl");
    let broker = authority.issue("broker", &["localhost"]).expect("openssl");
    let users = ["keylane", "keylane-apply", "nobody"].map(|user| (user, PASSWORD));
    let options = KafkaOptions::default()
        .secured(&broker, &users)
        .with_rights();
    let kafka = Kafka::start_with(options).expect("Kafka starts");
    for line in documented("kafka").lines() {
        let Some((_, words)) = line.split_once("--allow-principal ") else {
            continue;
        };
        let (principal, words) = words.split_once(' ').expect("rights behind the principal");
        let words: Vec<&str> = words.split(' ').collect();
        kafka.allow(principal, &words).expect(line);
    }
    (kafka, authority)
}

/// `keylane.yaml` for the user `keylane`, and one file for each user.
fn site_of_users(kafka: &Kafka) -> Site {
    let site = Site::new();
    let pipeline = site.sqlite_pipeline();
    for user in ["nobody", "keylane-apply", "keylane"] {
        let log = format!(
            "log: {{ kafka: {{ bootstrap: '{}', properties: {{ security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: {user}, sasl.password: {PASSWORD} }} }} }}",
            kafka.secured(KafkaListener::ClearLogin)
        );
        site.configure(&log, pipeline);
        let copy = site.path(&format!("as-{user}.yaml"));
        std::fs::copy(site.path("keylane.yaml"), copy).expect("a copy");
    }
    site
}

#[test]
fn the_documented_rights_at_kafka_are_enough() {
    if keylane_parts::quick() {
        return;
    }
    let (kafka, _authority) = kafka_with_rights();
    let site = site_of_users(&kafka);
    let half = |half, user: &str| {
        site.run(&[
            "run",
            "--only",
            half,
            "--config",
            &format!("as-{user}.yaml"),
        ])
    };
    let refused = |ended: Ended, code: &str, word: &str| {
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let told = ended.stderr.contains(code) && ended.stderr.contains(word);
        assert!(
            told && ended.took < SOON,
            "{:?}: {}",
            ended.took,
            ended.stderr
        );
    };
    let no_right = "authorization failed";
    refused(half("capture", "nobody"), "KL-PUBLISH-001", no_right);
    refused(half("apply", "nobody"), "KL-CONSUME-002", no_right);
    refused(half("capture", "keylane-apply"), "KL-PUBLISH-001", no_right);
    let apply = [
        "run",
        "--only",
        "apply",
        "--config",
        "as-keylane-apply.yaml",
    ];
    let applying = site.start(&apply, "apply.log");
    assert_eq!(site.failed_checks(), []);
    let capturing = site.start(&["run", "--only", "capture"], "capture.log");
    let there = || Ok(site.replicated() == 2);
    let arrived = wait_until("the rows to arrive", PATIENCE, there);
    let log = |name: &str| std::fs::read_to_string(site.path(name)).unwrap_or_default();
    let (captured, applied) = (log("capture.log"), log("apply.log"));
    assert!(arrived.is_ok(), "{captured}{applied}");
    assert_eq!(site.failed_checks(), []);
    assert!(!captured.contains("WARN"), "{captured}");
    terminate(capturing, &site.path("capture.log"));
    terminate(applying, &site.path("apply.log"));
    // The topics are there now, and may be read.
    refused(
        half("capture", "keylane-apply"),
        "KL-PUBLISH-001",
        "may not write",
    );
    foreign_topics_are_checked(&site);
}

/// Topics of another tool are there and may be read, or `check` says which are not. The user is the one that may only read.
fn foreign_topics_are_checked(site: &Site) {
    let configured = std::fs::read_to_string(site.path("as-keylane-apply.yaml"));
    let configured = configured.expect("it was written");
    let origin = "origin: { sqlite: { path: origin.db } }";
    for (topic, found) in [
        ("shop.main.customers", None),
        ("shop.none", Some("not there")),
        ("elsewhere.orders", Some("authorization failed")),
    ] {
        let foreign = format!("from_topics: {{ debezium: [{topic}] }}");
        let text = configured.replace(origin, &foreign);
        std::fs::write(site.path("keylane.yaml"), text).expect("it is written");
        let failed = site.failed_checks();
        let of_topic = failed.iter().find(|(id, _)| id == "log.foreign_topic");
        let told = of_topic.map(|(_, told)| told.as_str());
        match found {
            None => assert_eq!(told, None, "{topic}"),
            Some(word) => assert!(told.is_some_and(|told| told.contains(word)), "{failed:?}"),
        }
    }
}
