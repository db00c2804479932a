//! Records in a data topic that are not what Keylane wrote: a stranger's are passed over, a broken one is parked; the partition's others go on.

use std::io::Write as _;
use std::process::{Command, Stdio};

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Header, Log as _, NewRecord, RecordKind};
use keylane_parts::{Tool, ensure_installed};

use crate::bed::{Bed, left_out};
use crate::running::Running;

const TABLES: &str = "create table t(id int primary key, v text);";

/// Writes a record into the table's only partition, as anybody may.
fn kcat(bed: &Bed, key: &str, value: &str, headers: &[&str]) {
    let topic = format!("{}.public.t", bed.name);
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", &bed.kafka, "-P", "-t", &topic, "-p", "0", "-k", key]);
    for header in headers {
        kcat.args(["-H", header]);
    }
    let mut kcat = kcat.stdin(Stdio::piped()).spawn().expect("kcat starts");
    let mut input = kcat.stdin.take().expect("its input");
    input.write_all(value.as_bytes()).expect("it reads");
    drop(input);
    assert!(kcat.wait().is_ok_and(|end| end.success()), "kcat produces");
}

#[test]
fn a_stranger_s_record_is_passed_over_with_its_place_and_the_partition_goes_on() {
    if left_out() {
        return;
    }
    ensure_installed(&[Tool::Kcat]).expect("kcat");
    let bed = Bed::new("bad_stranger", TABLES);
    let road = bed.start(&[]);
    bed.origin_sql("insert into t values (1, 'a')");
    bed.settle(&road);
    let strangers: [(&str, &[&str]); 3] = [
        ("not JSON at all", &[]),
        ("{\"id\":1}", &["keylane=nonsense"]),
        ("{\"id\":1}", &["keylane=99 k=c"]),
    ];
    for (value, headers) in strangers {
        kcat(&bed, "{\"id\":1}", value, headers);
    }
    bed.wait(&road, "the strangers to be counted", || {
        bed.status()["unreadable"] == strangers.len()
    });
    let log = road.log();
    for word in ["KL-CONSUME-001", "bad_stranger.public.t/0", "offset="] {
        assert!(log.contains(word), "{word} is not in: {log}");
    }
    goes_on(&bed, &road, 2);
    assert!(bed.parked().is_empty());
    // A restarted capturer reads over them too.
    road.kill9();
    let road = bed.start(&[]);
    goes_on(&bed, &road, 3);
    road.terminate();
}

fn goes_on(bed: &Bed, road: &Running, row: u32) {
    bed.origin_sql(&format!(
        "insert into t values ({row}, 'a'); update t set v = v || 'b' where id = 1"
    ));
    bed.settle(road);
    bed.assert_equal(&["t"]);
}

/// Writes a record with a real change's header, at the next position, whose value is broken.
fn broken(bed: &Bed, key: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let log = KafkaLog::open(KafkaSettings::new(&*bed.kafka)).expect("a client");
        let partition = TopicPartition::new(format!("{}.public.t", bed.name), 0);
        let records = log
            .read(&partition, Offset(0), 1 << 20)
            .await
            .expect("the topic is read");
        let headers = || {
            records
                .iter()
                .filter_map(|record| Header::decode(record.keylane.as_ref()?).ok())
        };
        let reached = headers().map(|header| header.position).max();
        let epoch = headers().map(|header| header.epoch).max();
        let real = headers().find(|header| header.kind == RecordKind::Change);
        let header = Header {
            epoch: epoch.expect("an epoch"),
            position: reached.expect("a position").successor(),
            ..real.expect("a change")
        };
        let record = NewRecord {
            partition,
            key: Some(key.to_owned().into()),
            value: Some("{\"before\": nul".into()),
            headers: Vec::new(),
            keylane: header.encode(),
            timestamp_ms: 0,
        };
        let ticket = log.append(vec![record]).await.expect("it is taken");
        ticket.await.expect("it is written");
    });
}

#[test]
fn a_record_whose_value_is_broken_is_parked_with_its_key_and_the_partition_goes_on() {
    if left_out() {
        return;
    }
    let bed = Bed::new("bad_value", TABLES);
    let road = bed.start(&[]);
    bed.origin_sql("insert into t values (1, 'a')");
    bed.settle(&road);
    bed.wait(&road, "the broken record to be parked", || {
        // A marker may come between; then it is no news.
        if bed.parked().is_empty() {
            broken(&bed, "{\"id\":7}");
        }
        bed.settle(&road);
        !bed.parked().is_empty()
    });
    bed.origin_sql("insert into t values (7, 'behind')");
    goes_on_but_for_7(&bed, &road);
    let parked = bed.parked();
    assert_eq!(parked.len(), 1, "{parked:?}");
    let key = &parked[0];
    assert_eq!(key["error_code"], "KL-APPLY-009", "{key}");
    assert_eq!(key["behind"], 1, "{key}");
    assert_eq!(key["table"], "public.t", "{key}");
    assert_eq!(key["key"], "{\"id\":7}", "{key}");
    let error = key["error"].as_str().unwrap_or_default();
    assert!(error.contains("offset"), "{key}");
    // It stays broken; what is not the origin's is dropped, and the next change of the row brings it.
    let id = key["id"].to_string();
    let again = bed.json(&["parked", "redrive", &id, "--format", "json"], 1);
    assert_eq!(
        again["still_parked"][0]["error_code"], "KL-APPLY-009",
        "{again}"
    );
    let dropped = bed.json(&["parked", "discard", &id, "--yes", "--format", "json"], 0);
    assert_eq!(dropped["discarded"], 1, "{dropped}");
    bed.wait(&road, "the applier to take the key up again", || {
        bed.origin_sql("update t set v = v || '!' where id = 7");
        bed.settle(&road);
        bed.parked().is_empty() && bed.replica_sql("select count(*) from t where id = 7") == "1"
    });
    bed.settle(&road);
    bed.assert_equal(&["t"]);
    road.terminate();
}

fn goes_on_but_for_7(bed: &Bed, road: &Running) {
    bed.origin_sql("insert into t values (2, 'a'); update t set v = v || 'b' where id = 1");
    bed.settle(road);
    let rows = "select string_agg(id || v, ' ' order by id) from t";
    assert_eq!(bed.replica_sql(rows), "1ab 2a");
}
