//! A comparison that is killed goes on where it was.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keylane_parts::wait_until;
use serde_json::Value;

use super::urls::{json, keylane, sql};

const ROWS: u64 = 200_000;

fn comparing(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command
        .current_dir(folder)
        .args([
            "reconcile",
            "--origin",
            "sqlite:one.db",
            "--replica",
            "sqlite:other.db",
            "--table",
            "t",
        ])
        .args(["--load", "0.02", "--look-pause", "1ms", "--format", "json"])
        .env_remove("KEYLANE_CONFIG")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("keylane runs")
}

fn latest(folder: &Path) -> Value {
    let shown = keylane(folder, &["reconcile", "show", "--format", "json"]);
    serde_json::from_slice(&shown.stdout).unwrap_or_default()
}

/// Two tables of which every third row differs.
fn make_two(folder: &Path) {
    for name in ["one.db", "other.db"] {
        sql(
            &folder.join(name),
            &format!(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) INSERT INTO t SELECT i, 'value ' || i FROM n"
            ),
        );
    }
    // More than may wait for a look, so that one comes before the end.
    sql(
        &folder.join("other.db"),
        "UPDATE t SET v = 'x' WHERE id % 3 = 0",
    );
}

#[test]
fn a_run_that_was_killed_goes_on_and_finds_all_and_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    make_two(folder);
    let rows = |run: &Value| run["tables"][0]["rows_origin"].as_u64().unwrap_or(0);
    let mut first = comparing(folder);
    wait_until(
        "some of it to be compared",
        Duration::from_secs(120),
        || Ok(rows(&latest(folder)) > 0),
    )
    .expect("it is");
    first.kill().expect("it is killed");
    first.wait().expect("it ends");
    let run = latest(folder);
    let by_then = rows(&run);
    assert_eq!(run["tables"][0]["verdict"], "open", "{run}");
    assert!(by_then < ROWS, "{by_then} rows were compared by then");
    let name = run["run"].as_str().expect("a name");
    let resumed = keylane(
        folder,
        &[
            "reconcile",
            "--origin",
            "sqlite:one.db",
            "--replica",
            "sqlite:other.db",
            "--table",
            "t",
            "--look-pause",
            "1ms",
            "--resume",
            name,
            "--format",
            "json",
        ],
    );
    let done = json(&resumed, 3);
    assert_eq!(done["run"], name);
    assert_eq!(rows(&done), ROWS);
    assert_eq!(done["tables"][0]["different"], ROWS / 3);
    let shown = keylane(
        folder,
        &[
            "reconcile",
            "show",
            name,
            "--rows",
            "--limit",
            "100000",
            "--format",
            "json",
        ],
    );
    assert_eq!(
        json(&shown, 0)["rows"].as_array().map(Vec::len),
        Some(66_666)
    );
}
