//! Topics that Debezium writes, applied by `keylane run` on real Kafka and PostgreSQL.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use keylane_parts::{
    Debezium, DebeziumOptions, Kafka, KafkaHandle, Postgres, PostgresHandle, PostgresVersion, Tool,
    end_with_this_process, ensure_installed, wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A record as the connector writes it without schemas; `after` and `before` are row objects or `null`.
fn record(id: u32, op: char, before: &str, after: &str, sequence: (u64, u64)) -> String {
    let (commit, lsn) = sequence;
    format!(
        "{{\"id\":{id}}}\t{{\"before\":{before},\"after\":{after},\"source\":{{\"version\":\"3.4.0.Final\",\"connector\":\"postgresql\",\"name\":\"erp\",\"ts_ms\":1,\
         \"snapshot\":\"false\",\"db\":\"erp\",\"sequence\":\"[\\\"{commit}\\\",\\\"{lsn}\\\"]\",\"schema\":\"public\",\"table\":\"orders\",\"txId\":7,\"lsn\":{lsn}}},\
         \"op\":\"{op}\",\"ts_ms\":1}}\n"
    )
}

fn produce(bootstrap: &str, topic: &str, records: &str) {
    let mut kcat = Command::new("kcat")
        .args(["-b", bootstrap, "-P", "-t", topic, "-K", "\t", "-Z"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat starts");
    kcat.stdin
        .take()
        .expect("its input")
        .write_all(records.as_bytes())
        .expect("it reads");
    assert!(
        kcat.wait().is_ok_and(|status| status.success()),
        "kcat produces"
    );
}

fn start(folder: &Path) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("run.log"))
        .expect("a log file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command
        .current_dir(folder)
        .arg("run")
        .stderr(log)
        .stdout(Stdio::null())
        .stdin(Stdio::null());
    let child = command.spawn().expect("keylane starts");
    end_with_this_process(&child).expect("it is watched");
    child
}

/// What the connector writes first: four changes of two rows.
fn first() -> String {
    let row = |id: u32, name: &str, price: &str| {
        format!("{{\"id\":{id},\"name\":{name},\"price\":{price}}}")
    };
    record(
        1,
        'c',
        "null",
        &row(1, "\"a\"", "{\"scale\":2,\"value\":\"AZA=\"}"),
        (90, 100),
    ) + &record(2, 'c', "null", &row(2, "\"b\"", "null"), (90, 108))
        + &record(1, 'u', "null", &row(1, "\"A\"", "null"), (120, 130))
        + &record(2, 'd', &row(2, "null", "null"), "null", (140, 150))
}

/// The connector starts again behind its last offset: two of its records come twice, then a new one.
fn again() -> String {
    let row = |id: u32, name: &str| format!("{{\"id\":{id},\"name\":\"{name}\",\"price\":null}}");
    record(1, 'u', "null", &row(1, "A"), (120, 130))
        + &record(2, 'c', "null", &row(2, "b"), (90, 108))
        + &record(1, 'u', "null", &row(1, "last"), (160, 170))
}

const TABLES: &str = "create table orders(id int primary key, name text, price numeric);
    create table audit(seq serial, op text, id int);
    create function audited() returns trigger language plpgsql as $$ begin
      insert into audit(op, id) values (tg_op, coalesce(new.id, old.id)); return null; end $$;
    create trigger audited after insert or update or delete on orders for each row execute function audited();";

/// A replica with an audit, and a configuration that applies the topic.
struct Erp {
    postgres: &'static PostgresHandle,
    database: &'static str,
    folder: tempfile::TempDir,
}

impl Erp {
    fn new(bootstrap: &str, database: &'static str, topic: &str, tables: &str) -> Erp {
        let postgres = PostgresHandle::shared_replica().expect("PostgreSQL");
        postgres.fresh_database(database).expect("a database");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = format!(
            "version: 1\nhttp: {{ listen: off }}\nlog: {{ kafka: {{ bootstrap: \"{bootstrap}\" }} }}\npipelines:\n  erp:\n    \
             replica: {{ postgres: {{ url: \"{}\" }} }}\n    from_topics: {{ debezium: [{topic}] }}\n    apply: {{ fold: false }}\n",
            postgres.url(database),
        );
        std::fs::write(folder.path().join("keylane.yaml"), config).expect("it is written");
        let erp = Erp {
            postgres,
            database,
            folder,
        };
        erp.sql(tables);
        erp
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres
            .psql(self.database, sql)
            .expect(sql)
            .trim()
            .to_owned()
    }

    fn keylane(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command.current_dir(self.folder.path()).args(arguments);
        command.output().expect("keylane runs")
    }

    /// Waits until one key is parked with as many changes behind it, mends the cause, and has it redriven.
    fn redrives(&self, behind: u64, mend: &str) {
        let listed = || {
            let listed = self.keylane(&["parked", "list", "--format", "json"]);
            let list: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
            list.as_array().cloned().unwrap_or_default()
        };
        let parked = wait_until("the key to be parked", PATIENCE, || {
            Ok(listed()
                .first()
                .is_some_and(|key| key["behind"].as_u64() == Some(behind)))
        });
        assert!(parked.is_ok(), "{:?}", listed());
        assert_eq!(listed()[0]["table"], "public.orders", "{:?}", listed());
        let failed = self.keylane(&["parked", "redrive", "--all"]);
        let told = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(1), "{told}");
        assert!(told.contains("0 of 1 keys went through"), "{told}");
        self.sql(mend);
        let redriven = self.keylane(&["parked", "redrive", "--all"]);
        let told = String::from_utf8_lossy(&redriven.stderr).into_owned();
        assert_eq!(redriven.status.code(), Some(0), "{told}");
        assert_eq!(listed(), Vec::<Value>::new());
    }

    fn await_equal(&self, sql: &str, expect: &str) {
        let waited = wait_until(sql, PATIENCE, || Ok(self.sql(sql) == expect));
        let log = std::fs::read_to_string(self.folder.path().join("run.log")).unwrap_or_default();
        assert!(
            waited.is_ok(),
            "{sql}: {} instead of {expect}\n{log}",
            self.sql(sql)
        );
    }
}

fn kill(mut road: Child) {
    road.kill().expect("SIGKILL reaches it");
    road.wait().expect("it is gone");
}

#[test]
fn what_debezium_writes_again_takes_effect_once_also_over_a_kill_of_the_applier() {
    if keylane_parts::quick() {
        eprintln!("left out: needs Kafka and PostgreSQL");
        return;
    }
    ensure_installed(&[Tool::Kcat]).expect("kcat");
    let kafka = KafkaHandle::shared().expect("Kafka");
    let topic = "erp.public.orders";
    let erp = Erp::new(kafka.bootstrap(), "from_debezium", topic, TABLES);
    make_topic(kafka.bootstrap(), topic);
    produce(kafka.bootstrap(), topic, &first());
    let road = start(erp.folder.path());
    erp.await_equal("select count(*) from audit", "4");
    kill(road);
    produce(kafka.bootstrap(), topic, &again());
    let road = start(erp.folder.path());
    erp.await_equal(
        "select coalesce(max(name), '') from orders where id = 1",
        "last",
    );
    // The change at the very place that was reached may be written again, by key; the one before it may not.
    assert_eq!(erp.sql("select count(*) from orders"), "1");
    assert_eq!(
        erp.sql("select count(*) from audit where op = 'INSERT' and id = 2"),
        "1"
    );
    kill(road);
}

/// Prices of 100 and more do not fit the replica.
const NARROW: &str =
    "create table orders(id int primary key, name text, price numeric check (price < 100))";
const WIDER: &str = "alter table orders drop constraint orders_price_check";
const ALL: &str = "select coalesce(string_agg(id || '=' || name || ' ' || coalesce(price::text, '-'), ',' order by id), '') from orders";

#[test]
fn what_debezium_wrote_is_parked_alone_and_redriven_in_order() {
    if keylane_parts::quick() {
        eprintln!("left out: needs Kafka and PostgreSQL");
        return;
    }
    ensure_installed(&[Tool::Kcat]).expect("kcat");
    let kafka = KafkaHandle::shared().expect("Kafka");
    let topic = "narrow.public.orders";
    let erp = Erp::new(kafka.bootstrap(), "from_debezium_parked", topic, NARROW);
    make_topic(kafka.bootstrap(), topic);
    let row = |id: u32, name: &str, price: &str| {
        format!("{{\"id\":{id},\"name\":\"{name}\",\"price\":{price}}}")
    };
    let (dear, cheap) = (
        "{\"scale\":0,\"value\":\"AZA=\"}",
        "{\"scale\":2,\"value\":\"AZA=\"}",
    );
    let records = record(1, 'c', "null", &row(1, "a", dear), (90, 100))
        + &record(2, 'c', "null", &row(2, "b", cheap), (90, 108))
        + &record(1, 'u', "null", &row(1, "A", dear), (120, 130))
        + &record(1, 'd', &row(1, "", "null"), "null", (130, 140))
        + &record(1, 'c', "null", &row(1, "again", dear), (140, 150));
    produce(kafka.bootstrap(), topic, &records);
    let road = start(erp.folder.path());
    erp.await_equal(ALL, "2=b 4.00");
    erp.redrives(3, WIDER);
    assert_eq!(erp.sql(ALL), "1=again 400,2=b 4.00");
    // The key goes on.
    let last = record(1, 'u', "null", &row(1, "last", cheap), (160, 170));
    produce(kafka.bootstrap(), topic, &last);
    erp.await_equal(ALL, "1=last 4.00,2=b 4.00");
    kill(road);
}

#[test]
fn what_a_real_connector_wrote_is_redriven_with_the_schemas_it_carries_and_without() {
    if keylane_parts::quick() || !keylane_parts::slow() {
        return;
    }
    let kafka = Kafka::start().expect("Kafka");
    let origin = Postgres::start(PostgresVersion::V15).expect("PostgreSQL");
    let sql = |sql: &str| origin.psql("postgres", sql).expect(sql);
    sql("create table orders(id int primary key, name text, price numeric)");
    for (prefix, schemas, database) in [
        ("bare", "false", "from_connector_bare"),
        ("told", "true", "from_connector_told"),
    ] {
        let options = DebeziumOptions::new(&kafka.bootstrap(), prefix, &["public.orders"])
            .capture(&origin.url("postgres"))
            .expect("a URL")
            .set_worker("key.converter.schemas.enable", schemas)
            .set_worker("value.converter.schemas.enable", schemas);
        let topic = options.topic("public.orders");
        sql("insert into orders values (1, 'a', 400), (2, 'b', 4)");
        let mut debezium = Debezium::start(options).expect("Debezium");
        let erp = Erp::new(&kafka.bootstrap(), database, &topic, NARROW);
        await_topic(&kafka.bootstrap(), &topic);
        let road = start(erp.folder.path());
        erp.await_equal(ALL, "2=b 4");
        sql(
            "update orders set name = 'A' where id = 1; delete from orders where id = 1; insert into orders values (1, 'again', 500.5)",
        );
        erp.redrives(3, WIDER);
        assert_eq!(erp.sql(ALL), "1=again 500.5,2=b 4", "{prefix}");
        sql("delete from orders");
        erp.await_equal(ALL, "");
        kill(road);
        debezium.stop().expect("it stops");
    }
}

/// The connector makes it when it writes its first record.
fn await_topic(bootstrap: &str, topic: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let log = keylane::kafka::KafkaLog::open(keylane::kafka::KafkaSettings::new(bootstrap))
        .expect("a client");
    wait_until("the connector to write", PATIENCE, || {
        use keylane_core::publish::Log as _;
        let found = runtime.block_on(log.describe_topic(topic));
        Ok(found.is_ok_and(|found| found.is_some()))
    })
    .expect("it writes");
}

/// One partition, so that the connector's order is the topic's.
fn make_topic(bootstrap: &str, topic: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        use keylane_core::publish::Log as _;
        let log = keylane::kafka::KafkaLog::open(keylane::kafka::KafkaSettings::new(bootstrap))
            .expect("a client");
        let spec = keylane_core::publish::TopicSpec {
            name: topic.into(),
            partitions: 1,
            replication_factor: 1,
            settings: Vec::new(),
        };
        log.ensure_topics(&[spec]).await.expect("the topic is made");
    });
}
