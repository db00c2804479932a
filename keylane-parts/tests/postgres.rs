//! PostgreSQL starts, dies and comes back with what was committed.

use keylane_parts::{Postgres, PostgresOptions, PostgresVersion, Result, is_running, quick};

#[test]
fn postgres_survives_kill_nine_with_its_data() -> Result<()> {
    if quick() {
        return Ok(());
    }
    for version in PostgresVersion::under_test()? {
        let mut postgres = Postgres::start(version)?;
        postgres.create_database("shop")?;
        postgres.psql("shop", "create table t(id int primary key, v text)")?;
        postgres.psql(
            "shop",
            "insert into t select i, 'é' || i from generate_series(1, 1000) i",
        )?;
        let before = postgres.url("shop");
        let pid = postgres.pid().expect("it runs");
        postgres.kill9()?;
        assert!(!is_running(pid));
        postgres.restart()?;
        assert_eq!(postgres.url("shop"), before);
        assert_eq!(
            postgres.psql("shop", "select count(*), max(v) from t")?,
            "1000|é999"
        );
        postgres.stop()?;
        postgres.restart()?;
        assert_eq!(postgres.psql("shop", "select count(*) from t")?, "1000");
    }
    Ok(())
}

#[test]
fn postgres_hands_out_a_logical_slot_and_keeps_fsync_on() -> Result<()> {
    if quick() {
        return Ok(());
    }
    for version in PostgresVersion::under_test()? {
        let postgres = Postgres::start(version)?;
        let slot = "select slot_name from pg_create_logical_replication_slot('s', 'pgoutput')";
        assert_eq!(postgres.psql("postgres", slot)?, "s");
        assert_eq!(postgres.psql("postgres", "show fsync")?, "on");
        let major = "select current_setting('server_version_num')::int / 10000";
        assert_eq!(
            postgres.psql("postgres", major)?,
            version.major().to_string()
        );
    }
    Ok(())
}

#[test]
fn postgres_with_a_password_refuses_those_without() -> Result<()> {
    if quick() {
        return Ok(());
    }
    let options = PostgresOptions::new(PostgresVersion::V15)
        .password("right")
        .set("max_replication_slots", 3);
    let postgres = Postgres::start(options)?;
    assert_eq!(
        postgres.psql("postgres", "show max_replication_slots")?,
        "3"
    );
    let mut wrong = postgres.client("psql", "postgres");
    wrong
        .env("PGPASSWORD", "wrong")
        .args(["-X", "-c", "select 1"]);
    let output = wrong.output().expect("psql runs");
    assert!(!output.status.success());
    Ok(())
}
