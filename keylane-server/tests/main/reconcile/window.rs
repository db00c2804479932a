//! A window that closes before a scheduled run is done.

use std::path::Path;
use std::time::Duration;

use keylane_parts::wait_until;
use keylane_server::config::Config;
use keylane_server::reconcile::Scheduling;
use serde_json::Value;

use super::urls::{json, keylane, sql};
use crate::bed::{PATIENCE, left_out};

const ROWS: u64 = 100_000;
const RECONCILE: &str =
    "    reconcile: { schedules: [\"* * * * *\"], load_percent: 1, method: rows }\n";

/// A pipeline of files that has caught up, and is compared at every full minute, for two seconds at a time.
fn prepared(folder: &Path) -> Config {
    sql(
        &folder.join("origin.db"),
        &format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) INSERT INTO t SELECT i, 'value ' || i FROM n"
        ),
    );
    for arguments in [
        &[
            "init",
            "--from",
            "sqlite:origin.db",
            "--to",
            "sqlite:replica.db",
        ][..],
        &["run", "--until-caught-up"],
    ] {
        let done = keylane(folder, arguments);
        assert!(done.status.success(), "{done:?}");
    }
    let path = folder.join("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("the configuration") + RECONCILE;
    std::fs::write(&path, text).expect("it is written");
    let mut config = Config::load(&path).expect("it is right");
    for pipeline in config.pipelines.values_mut() {
        // Shorter than a configuration may say.
        pipeline.reconcile.window = Duration::from_secs(2);
    }
    config
}

#[test]
fn a_run_that_its_window_closes_on_goes_on_at_the_next_time() {
    // It waits for two full minutes of the clock.
    if left_out() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let config = prepared(folder);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scheduling = runtime.block_on(async { Scheduling::start(&config) });
    let scheduling = scheduling.expect("it has a schedule");
    // Each time it goes on, some rows more are compared.
    let so_far = || {
        let list = json(
            &keylane(folder, &["reconcile", "list", "--format", "json"]),
            0,
        );
        let run = list["runs"][0]["run"].as_str().map(str::to_owned)?;
        let shown = keylane(folder, &["reconcile", "show", &run, "--format", "json"]);
        let rows = json(&shown, 0)["tables"][0]["rows_origin"].as_u64()?;
        Some((list["runs"].as_array().map_or(0, Vec::len), run, rows))
    };
    let mut first = None;
    let begun = wait_until("the first window to close", PATIENCE, || {
        let before = first.clone();
        first = so_far().filter(|(.., rows)| *rows > 0);
        std::thread::sleep(Duration::from_secs(5));
        // It stands still.
        Ok(first.is_some() && first == before)
    });
    assert!(begun.is_ok(), "{begun:?} {first:?}");
    let (_, run, rows) = first.expect("a run");
    assert!(rows < ROWS, "{rows}");
    let went_on = wait_until("it to go on", PATIENCE, || {
        Ok(so_far().is_some_and(|(count, same, now)| count == 1 && same == run && now > rows))
    });
    assert!(went_on.is_ok(), "{went_on:?} {:?}", so_far());
    runtime.block_on(scheduling.end());
    let list: Value = json(
        &keylane(folder, &["reconcile", "list", "--format", "json"]),
        0,
    );
    assert_eq!(list["runs"][0]["state"], "running", "{list}");
}
