//! Topics that Debezium writes, applied by `keylane run` on real Kafka and PostgreSQL.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keylane_parts::{
    KafkaHandle, PostgresHandle, Tool, end_with_this_process, ensure_installed, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "erp.public.orders";

/// A record as the connector writes it without schemas; `after` and `before` are row objects or `null`.
fn record(id: u32, op: char, before: &str, after: &str, sequence: (u64, u64)) -> String {
    let (commit, lsn) = sequence;
    format!(
        "{{\"id\":{id}}}\t{{\"before\":{before},\"after\":{after},\"source\":{{\"version\":\"3.4.0.Final\",\"connector\":\"postgresql\",\"name\":\"erp\",\"ts_ms\":1,\
         \"snapshot\":\"false\",\"db\":\"erp\",\"sequence\":\"[\\\"{commit}\\\",\\\"{lsn}\\\"]\",\"schema\":\"public\",\"table\":\"orders\",\"txId\":7,\"lsn\":{lsn}}},\
         \"op\":\"{op}\",\"ts_ms\":1}}\n"
    )
}

fn produce(bootstrap: &str, records: &str) {
    let mut kcat = Command::new("kcat")
        .args(["-b", bootstrap, "-P", "-t", TOPIC, "-K", "\t", "-Z"])
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
    folder: tempfile::TempDir,
}

impl Erp {
    fn new(bootstrap: &str) -> Erp {
        let postgres = PostgresHandle::shared_replica().expect("PostgreSQL");
        postgres
            .fresh_database("from_debezium")
            .expect("a database");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = format!(
            "version: 1\nhttp: {{ listen: off }}\nlog: {{ kafka: {{ bootstrap: \"{bootstrap}\" }} }}\npipelines:\n  erp:\n    \
             replica: {{ postgres: {{ url: \"{}\" }} }}\n    from_topics: {{ debezium: [{TOPIC}] }}\n    apply: {{ fold: false }}\n",
            postgres.url("from_debezium"),
        );
        std::fs::write(folder.path().join("keylane.yaml"), config).expect("it is written");
        let erp = Erp { postgres, folder };
        erp.sql(TABLES);
        erp
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres
            .psql("from_debezium", sql)
            .expect(sql)
            .trim()
            .to_owned()
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
    let erp = Erp::new(kafka.bootstrap());
    make_topic(kafka.bootstrap());
    produce(kafka.bootstrap(), &first());
    let road = start(erp.folder.path());
    erp.await_equal("select count(*) from audit", "4");
    kill(road);
    produce(kafka.bootstrap(), &again());
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

/// One partition, so that the connector's order is the topic's.
fn make_topic(bootstrap: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        use keylane_core::publish::Log as _;
        let log = keylane::kafka::KafkaLog::open(keylane::kafka::KafkaSettings::new(bootstrap))
            .expect("a client");
        let spec = keylane_core::publish::TopicSpec {
            name: TOPIC.into(),
            partitions: 1,
            replication_factor: 1,
            settings: Vec::new(),
        };
        log.ensure_topics(&[spec]).await.expect("the topic is made");
    });
}
