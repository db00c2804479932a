//! Two machines that would compare one table at the same time.

use std::path::Path;
use std::process::Stdio;

use keylane_parts::{end_with_this_process, wait_until};

use super::urls::{json, keylane};
use crate::bed::{Bed, PATIENCE, left_out};

fn arguments<'a>(bed: &'a (String, String), load: &'a str) -> Vec<&'a str> {
    let (origin, replica) = bed;
    let mut all = vec!["reconcile", "--origin", origin, "--replica", replica];
    all.extend(["--table", "t", "--load", load, "--format", "json"]);
    all
}

#[test]
fn one_table_is_compared_by_one_machine_at_a_time() {
    if left_out() {
        return;
    }
    let tables = "create table if not exists t (id int primary key, v text)";
    let bed = Bed::new("at_once", tables);
    for sql in [Bed::origin_sql, Bed::replica_sql] {
        sql(
            &bed,
            "insert into t select n, 'value ' || n from generate_series(1, 100000) n",
        );
    }
    let urls = (bed.origin_url(), bed.replica_url());
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut first = bed.keylane(&arguments(&urls, "0.01"));
    first.stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = first.spawn().expect("keylane runs");
    end_with_this_process(&first).expect("it is noted");
    let taken = "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())";
    let began = wait_until("the first to compare", PATIENCE, || {
        Ok(bed.replica_sql(taken) == "1")
    });
    assert!(began.is_ok(), "{began:?}");
    let compare = |folder: &Path| keylane(folder, &arguments(&urls, "1"));
    let second = json(&compare(elsewhere.path()), 1);
    let why = second["tables"][0]["failed"].as_str().unwrap_or_default();
    assert_eq!(why, "another run compares table public.t now", "{second}");
    // However the first ends.
    first.kill().expect("it is killed");
    first.wait().expect("it ends");
    let second = json(&compare(elsewhere.path()), 0);
    assert_eq!(second["tables"][0]["verdict"], "equal", "{second}");
}
