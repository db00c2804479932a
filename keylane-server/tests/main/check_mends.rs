//! `keylane check` names what is wrong, and what it names as the mend mends it: the tests run the commands as they are written.

use std::process::Command;

use keylane_parts::{Postgres, PostgresOptions, PostgresVersion, kafka_tool};
use serde_json::Value;

use crate::bed::{Bed, Wiring, left_out, postgres};

/// What `keylane check` finds; it ends with 3 exactly if an error is among it.
pub fn checks(bed: &Bed) -> Vec<Value> {
    let output = bed.run(&["check", "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let all = found["checks"].as_array().expect("a list").clone();
    for check in &all {
        let text = |field: &str| check[field].as_str().unwrap_or_default();
        assert!(check["ok"].is_boolean(), "{check}");
        assert!(["error", "warning"].contains(&text("severity")), "{check}");
        assert!(
            text("id").contains('.') && !text("subject").is_empty(),
            "{check}"
        );
        assert_eq!(text("fix").is_empty(), check["ok"] == true, "{check}");
    }
    let fails = all.iter().any(is_error);
    assert_eq!(
        output.status.code(),
        Some(if fails { 3 } else { 0 }),
        "{found}"
    );
    all
}

fn is_error(check: &Value) -> bool {
    check["ok"] == false && check["severity"] == "error"
}

/// The ids of what is not right and among `ids`, each once, in their order.
fn wrong(all: &[Value], ids: &[&str]) -> Vec<String> {
    let is_wrong = |id: &&&str| {
        all.iter()
            .any(|check| check["id"] == **id && check["ok"] == false)
    };
    ids.iter()
        .filter(is_wrong)
        .map(|id| (*id).to_owned())
        .collect()
}

/// The command that a fix names: what stands behind `run…:`, up to the end or to another way out.
pub fn command(check: &Value) -> Option<String> {
    let fix = check["fix"].as_str()?;
    let (_, behind) = fix.split_once("run")?;
    let (_, command) = behind.split_once(": ")?;
    let end = ["; or ", "; and ", " (or "]
        .iter()
        .filter_map(|word| command.find(word))
        .min();
    Some(command.get(..end.unwrap_or(command.len()))?.to_owned())
}

/// Runs the commands of all failed checks with these ids, again while a mend uncovers the next, until none of them fails.
fn mend(bed: &Bed, ids: &[&str], run: impl Fn(&str, &str)) {
    for _ in 0..5 {
        let all = checks(bed);
        let left: Vec<&Value> = all
            .iter()
            .filter(|check| check["ok"] == false && ids.iter().any(|id| check["id"] == *id))
            .collect();
        if left.is_empty() {
            return;
        }
        for check in left {
            let command = command(check);
            assert!(command.is_some(), "no command: {check}");
            let id = check["id"].as_str().unwrap_or_default();
            run(id, &command.unwrap_or_default());
        }
    }
    let left = wrong(&checks(bed), ids);
    assert!(left.is_empty(), "not mended: {left:?}");
}

/// Statement by statement, as a person types them: some may not stand in one transaction.
fn run_sql(server: &Postgres, database: &str, sql: &str) {
    for statement in sql.split(';').filter(|text| !text.trim().is_empty()) {
        server.psql(database, statement).expect(statement);
    }
}

/// A pipeline between two databases of one server, by a role of no special rights.
fn between(bed: &Bed, server: &Postgres, role: &str) -> Wiring {
    let url = |database: &str| {
        server
            .url(database)
            .replace("postgres@", &format!("{role}@"))
    };
    Wiring {
        origin: postgres(&url("shop")),
        replica: postgres(&url("reports")),
        ..bed.wiring()
    }
}

const TABLES: &str = "create table t(id int primary key, v text); create table nokey(v text); create table mute(id int primary key, v text);
    alter table mute replica identity nothing; insert into t values (1, 'a'); insert into nokey values ('a'); insert into mute values (1, 'a')";

const ROLE: [&str; 7] = [
    "origin.replication_role",
    "origin.publication",
    "origin.replica_identity",
    "origin.grants",
    "replica.own_schema",
    "replica.may_create",
    "replica.grants",
];

#[test]
fn a_server_and_a_role_that_lack_what_is_needed_get_it_by_the_commands_that_check_names() {
    if left_out() {
        return;
    }
    let options = ["wal_level", "max_replication_slots", "max_wal_senders"]
        .into_iter()
        .fold(
            PostgresOptions::new(PostgresVersion::V15),
            PostgresOptions::server_default,
        );
    let mut server = Postgres::start(options).expect("PostgreSQL starts");
    for database in ["shop", "reports"] {
        server.create_database(database).expect("a database");
    }
    run_sql(&server, "shop", TABLES);
    server
        .psql("reports", "create table t(id int primary key, v text)")
        .expect("a table");
    run_sql(
        &server,
        "postgres",
        "create role app login; revoke create on database shop from public; alter system set max_replication_slots = 1;
         alter system set max_wal_senders = 0; select pg_create_physical_replication_slot('taken')",
    );
    server.stop().expect("it stops");
    server.restart().expect("it starts again");
    let bed = Bed::bare("mend_server");
    bed.configure(&[between(&bed, &server, "app")]);

    let ids = ["origin.wal_level", "origin.slot_room", "origin.sender_room"];
    assert_eq!(wrong(&checks(&bed), &ids), ids);
    for check in checks(&bed)
        .iter()
        .filter(|check| ids.iter().any(|id| check["id"] == *id))
    {
        let sql = command(check).expect("a command");
        run_sql(&server, "postgres", &sql);
    }
    server.stop().expect("it stops");
    server.restart().expect("it starts again");
    assert_eq!(wrong(&checks(&bed), &ids), [""; 0]);

    // What the replica's tables need is told once the origin's can be read.
    let found = wrong(&checks(&bed), &ROLE);
    assert_eq!(found, ROLE[..5], "each of these is wrong at first");
    mend(&bed, &ROLE, |id, sql| {
        let database = if id.starts_with("origin") {
            "shop"
        } else {
            "reports"
        };
        run_sql(&server, database, sql);
    });
    assert!(!checks(&bed).iter().any(is_error), "{:?}", checks(&bed));
    // What is right by then is enough to run.
    let run = bed.run(&["run", "--until-caught-up"]);
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    for table in ["t", "nokey", "mute"] {
        let rows = server.psql("reports", &format!("select v from {table}"));
        assert_eq!(rows.expect("it answers"), "a", "{table}");
    }
}

const FIT: [&str; 5] = [
    "replica.table",
    "replica.column",
    "replica.type",
    "replica.not_null",
    "replica.key",
];

#[test]
fn a_replica_whose_tables_do_not_fit_gets_them_right_by_the_commands_that_check_names() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("mend_fit");
    bed.origin_sql(
        "create table absent(\"Id\" int primary key, \"order\" numeric(10,2) not null, v varchar(20) default 'x');
         create table narrow(id bigint primary key, v text, w text);
         create table keyless(a int, b int, v text, primary key (b, a))",
    );
    bed.replica_sql(
        "create table narrow(id int primary key, v varchar(3) not null);
         create table keyless(a int not null, b int not null, v text)",
    );
    let mut wiring = bed.wiring();
    wiring.apply = "create_tables: false".to_owned();
    bed.configure(&[wiring]);
    assert_eq!(wrong(&checks(&bed), &FIT), FIT);
    mend(&bed, &FIT, |_, sql| {
        bed.replica_sql(sql);
    });
    let left: Vec<Value> = checks(&bed)
        .into_iter()
        .filter(|check| check["ok"] == false)
        .collect();
    assert!(!left.iter().any(is_error), "{left:?}");
    bed.origin_sql(
        "insert into absent values (1, 12.34, 'long enough'); insert into narrow values (5000000000, null, 'w'), (2, 'long', 'w');
         insert into keyless values (1, 2, 'a'); update keyless set v = 'b'",
    );
    let run = bed.run(&["run", "--until-caught-up"]);
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    bed.assert_equal(&["absent", "narrow", "keyless"]);
    assert!(bed.parked().is_empty());
}

/// Runs a command of Kafka's own programs as a shell would.
fn run_kafka(command: &str) {
    let mut words = command.split_whitespace();
    let mut tool = kafka_tool(words.next().unwrap_or_default()).expect("a tool of Kafka");
    ran(tool.args(words));
}

fn ran(command: &mut Command) {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn topics_that_are_not_as_they_must_be_get_right_by_the_commands_that_check_names() {
    if left_out() {
        return;
    }
    let bed = Bed::new(
        "mend_topics",
        "create table t(id int primary key, v text); create table u(id int primary key, v text);",
    );
    let created = [
        ("public.t", "3", "cleanup.policy=compact"),
        ("public.u", "3", "retention.ms=60000"),
        ("keylane", "1", "cleanup.policy=delete"),
    ];
    for (name, partitions, setting) in created {
        let topic = format!("{}.{name}", bed.name);
        let mut tool = kafka_tool("kafka-topics").expect("a tool of Kafka");
        ran(tool
            .args([
                "--bootstrap-server",
                &bed.kafka,
                "--create",
                "--topic",
                &topic,
            ])
            .args([
                "--partitions",
                partitions,
                "--replication-factor",
                "1",
                "--config",
                setting,
            ]));
    }
    let ids = ["log.partitions", "log.cleanup_policy", "log.retention"];
    let found = checks(&bed);
    assert_eq!(wrong(&found, &ids), ids);
    // Keys would move: that is mended in the configuration, to what the fix names.
    let partitions = found
        .iter()
        .find(|check| check["id"] == ids[0] && check["ok"] == false);
    let fix = partitions
        .map(|check| check["fix"].to_string())
        .unwrap_or_default();
    assert!(fix.contains("set topics.partitions to 3"), "{fix}");
    let mut wiring = bed.wiring();
    wiring.topics = "partitions: 3".to_owned();
    bed.configure(&[wiring]);
    mend(&bed, &ids, |_, command| run_kafka(command));
    assert!(!checks(&bed).iter().any(is_error));
    bed.origin_sql("insert into t values (1, 'a'); insert into u values (1, 'a')");
    let run = bed.run(&["run", "--until-caught-up"]);
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    bed.assert_equal(&["t", "u"]);
}
