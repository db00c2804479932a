//! The peer copies rows, dies and goes on.

use keylane_parts::{
    Debezium, DebeziumOptions, Kafka, Postgres, PostgresVersion, Result, quick, slow, wait_until,
};
use std::time::Duration;

const ROWS: &str = "select string_agg(id || '=' || v, ',' order by id) from t";

fn wait_for_rows(replica: &Postgres, expect: &str) -> Result<()> {
    wait_until(
        &format!("the replica to hold {expect}"),
        Duration::from_secs(60),
        || {
            // The sink creates the table when its first record comes.
            Ok(replica
                .psql("postgres", ROWS)
                .is_ok_and(|rows| rows == expect))
        },
    )
}

#[test]
fn debezium_copies_rows_and_goes_on_after_kill_nine() -> Result<()> {
    if quick() || !slow() {
        return Ok(());
    }
    let kafka = Kafka::start()?;
    let origin = Postgres::start(PostgresVersion::V15)?;
    let replica = Postgres::start(PostgresVersion::V15)?;
    origin.psql("postgres", "create table t(id int primary key, v text)")?;
    origin.psql("postgres", "insert into t values (1, 'a'), (2, 'b')")?;
    let options = DebeziumOptions::new(&kafka.bootstrap(), "peer", &["public.t"])
        .capture(&origin.url("postgres"))?
        .apply(&replica.url("postgres"))?
        .tasks_max(2);
    let began = std::time::Instant::now();
    let mut debezium = Debezium::start(options)?;
    println!("Debezium started in {:?}", began.elapsed());
    wait_for_rows(&replica, "1=a,2=b")?;
    origin.psql("postgres", "update t set v = 'c' where id = 1")?;
    origin.psql("postgres", "delete from t where id = 2")?;
    wait_for_rows(&replica, "1=c")?;
    debezium.kill9()?;
    origin.psql("postgres", "insert into t values (3, 'd')")?;
    debezium.restart()?;
    wait_for_rows(&replica, "1=c,3=d")?;
    debezium.stop()
}
