//! An origin that waits for a synchronous standby tells its log of a commit before its readers see it: no false alarm for that.

use std::thread;

use keylane_parts::{Postgres, PostgresOptions, PostgresVersion, wait_until};
use serde_json::Value;

use crate::bed::{Bed, PATIENCE, left_out, postgres};

const TABLES: &str = "create table t (id int primary key, v text)";

/// Who waits for the standby, by the name that they connected under.
fn waiting(server: &Postgres, name: &str) -> bool {
    let sql = format!(
        "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and application_name = '{name}'"
    );
    server.psql("shop", &sql).expect("it answers") != "0"
}

/// While it is there, commits wait for a standby that is not.
struct Standby<'a>(&'a Postgres);

impl Standby<'_> {
    fn awaited(server: &Postgres) -> Standby<'_> {
        name_standby(server, "nobody");
        Standby(server)
    }
}

impl Drop for Standby<'_> {
    fn drop(&mut self) {
        name_standby(self.0, "");
    }
}

fn name_standby(server: &Postgres, name: &str) {
    let set = format!("alter system set synchronous_standby_names = '{name}'");
    let _ = server.psql("shop", &set);
    let _ = server.psql("shop", "select pg_reload_conf()");
}

#[test]
fn a_commit_that_waits_for_a_standby_is_in_the_log_before_it_is_seen_and_is_no_difference() {
    if left_out() {
        return;
    }
    let server = Postgres::start(PostgresOptions::new(PostgresVersion::V15)).expect("it starts");
    server.create_database("shop").expect("a database");
    server.psql("shop", TABLES).expect("a table");
    server
        .psql("shop", "insert into t values (1, 'old'), (2, 'x')")
        .expect("rows");
    let mut bed = Bed::new("reconcile_standby", TABLES);
    bed.http = "listen: off".to_owned();
    let wiring = crate::bed::Wiring {
        origin: postgres(&server.url("shop")),
        ..bed.wiring()
    };
    bed.configure(&[wiring]);
    let road = bed.start(&[]);
    // The table's shape is known by then: that of a commit that nobody sees yet would be waited for.
    for round in 0..3 {
        let known = format!("update t set v = 'y{round}' where id = 2");
        server.psql("shop", &known).expect("it is written");
        bed.settle(&road);
    }
    thread::scope(|scope| {
        let standby = Standby::awaited(&server);
        let writer = scope.spawn(|| server.psql("shop", "update t set v = 'new' where id = 1"));
        bed.wait(
            &road,
            "the replica to have what waits at the origin",
            || bed.replica_sql("select v from t where id = 1") == "new",
        );
        let seen = server.psql("shop", "select v from t where id = 1");
        assert_eq!(seen.expect("it answers"), "old", "nobody sees it yet");
        let compared =
            scope.spawn(|| bed.run(&["reconcile", "--format", "json", "--mark-within", "60s"]));
        wait_until("the comparison to wait for the standby", PATIENCE, || {
            Ok(waiting(&server, "keylane settle"))
        })
        .expect("it writes a mark");
        drop(standby);
        let run = compared.join().expect("it ends");
        let told: Value = serde_json::from_slice(&run.stdout).expect("JSON");
        let table = &told["tables"][0];
        assert_eq!(
            (run.status.code(), &table["verdict"]),
            (Some(0), &Value::from("equal")),
            "{table}"
        );
        assert_eq!(table["settling"], 1, "it differed at first: {table}");
        writer.join().expect("it ends").expect("it is written");
    });
    road.terminate();
}
