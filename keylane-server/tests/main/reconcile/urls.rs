//! Any two databases, without a pipeline or a configuration.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

pub fn sql(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).expect("opened");
    connection.execute_batch(sql).expect(sql);
}

pub fn keylane(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keylane"))
        .current_dir(folder)
        .args(arguments)
        .env_remove("KEYLANE_CONFIG")
        .output()
        .expect("keylane runs")
}

fn told(output: &Output, code: i32) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    format!("{out}{err}")
}

pub fn json(output: &Output, code: i32) -> Value {
    told(output, code);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn two_files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["one.db", "other.db"] {
        sql(
            &folder.path().join(name),
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, cents INTEGER);
             INSERT INTO orders VALUES (1, 'a', 100), (2, NULL, 200), (3, 'c', 300);
             CREATE TABLE loose (v TEXT);",
        );
    }
    folder
}

const BOTH: [&str; 6] = [
    "reconcile",
    "--origin",
    "sqlite:one.db",
    "--replica",
    "sqlite:other.db",
    "--look-pause=10ms",
];

#[test]
fn equal_files_are_equal_and_each_difference_is_shown_with_both_values() {
    let folder = two_files();
    let run = |more: &[&str]| keylane(folder.path(), &[&BOTH, more].concat());
    let equal = json(&run(&["--table", "orders", "--format", "json"]), 0);
    assert_eq!(equal["tables"][0]["verdict"], "equal");
    assert_eq!(equal["tables"][0]["rows_origin"], 3);
    sql(
        &folder.path().join("other.db"),
        "UPDATE orders SET note = '' WHERE id = 2; DELETE FROM orders WHERE id = 3; INSERT INTO orders VALUES (9, 'z', 1)",
    );
    let found = json(&run(&["--table", "orders", "--format", "json"]), 3);
    let table = &found["tables"][0];
    let counts = ["missing", "extra", "different"].map(|name| table[name].as_u64());
    assert_eq!(
        (&table["verdict"], counts),
        (&"diverged".into(), [Some(1); 3])
    );
    assert_eq!(table["columns"], serde_json::json!([["note", 1]]));

    let text = told(&run(&["--table", "orders"]), 3);
    assert!(
        text.contains("diverged") && text.contains("note in 1"),
        "{text}"
    );
    let rows = told(&keylane(folder.path(), &["reconcile", "show", "--rows"]), 0);
    for line in [
        "id=2 different",
        "note: NULL at the origin, \"\" at the replica",
        "cents: 300, only at the origin",
        "note: \"z\", only at the replica",
        "seen twice unchanged",
    ] {
        assert!(rows.contains(line), "{line}: {rows}");
    }
    let list = told(&keylane(folder.path(), &["reconcile", "list"]), 0);
    assert_eq!(list.lines().count(), 3, "{list}");
    let run_name = found["run"].as_str().expect("a name");
    let shown = keylane(
        folder.path(),
        &["reconcile", "show", run_name, "--rows", "--format", "json"],
    );
    assert_eq!(json(&shown, 0)["rows"].as_array().map(Vec::len), Some(3));
}

#[test]
fn rows_are_counted_and_filtered_as_asked() {
    let folder = two_files();
    let run = |more: &[&str]| keylane(folder.path(), &[&BOTH, more].concat());
    sql(
        &folder.path().join("other.db"),
        "UPDATE orders SET cents = 0 WHERE id = 1",
    );
    let filtered = [
        "--table",
        "orders",
        "--where",
        "cents > 150",
        "--format",
        "json",
    ];
    assert_eq!(json(&run(&filtered), 0)["tables"][0]["rows_origin"], 2);
    let counted = ["--table", "orders", "--count-only", "--format", "json"];
    assert_eq!(json(&run(&counted), 0)["tables"][0]["rows_replica"], 3);
    sql(
        &folder.path().join("other.db"),
        "DELETE FROM orders WHERE id = 1",
    );
    assert_eq!(json(&run(&counted), 3)["tables"][0]["verdict"], "unproved");
}

#[test]
fn what_cannot_be_compared_says_why_and_does_not_hide_what_can() {
    let folder = two_files();
    let run = |more: &[&str]| keylane(folder.path(), &[&BOTH, more].concat());
    let text = told(
        &run(&["--table", "gone", "--table", "loose", "--table", "orders"]),
        1,
    );
    assert!(text.contains("no table main.gone in one.db"), "{text}");
    assert!(text.contains("no primary key"), "{text}");
    assert!(text.contains("main.orders  equal"), "{text}");
    let text = told(&run(&[]), 2);
    assert!(text.contains("name the tables"), "{text}");
    let text = told(&run(&["--table", "orders", "--where", "nonsense("]), 1);
    assert!(text.contains("one.db"), "{text}");
    let gone = [
        "reconcile",
        "--origin",
        "postgres://me:secret@127.0.0.1:1/shop",
        "--replica",
        "sqlite:other.db",
        "--table",
        "orders",
    ];
    let text = told(&keylane(folder.path(), &gone), 4);
    assert!(
        text.contains("127.0.0.1:1/shop") && !text.contains("secret"),
        "{text}"
    );
    let text = told(&keylane(folder.path(), &["reconcile", "show", "nobody"]), 2);
    assert!(text.contains("reconcile list"), "{text}");
}

#[test]
fn a_row_that_the_filter_leaves_out_at_the_origin_is_mended_and_not_deleted() {
    let folder = two_files();
    let run = |more: &[&str]| keylane(folder.path(), &[&BOTH, more].concat());
    // Only the replica's row has so many.
    sql(
        &folder.path().join("other.db"),
        "UPDATE orders SET cents = 1000 WHERE id = 1",
    );
    let filtered = [
        "--table",
        "orders",
        "--where",
        "cents > 500",
        "--format",
        "json",
    ];
    let found = json(&run(&filtered), 3);
    assert_eq!(found["tables"][0]["extra"], 1);
    let repair = [&filtered[..], &["--repair"]].concat();
    let run_of = json(&run(&repair), 3);
    let why = run_of["tables"][0]["not_repaired"].to_string();
    assert!(why.contains("may have lost its rows"), "{why}");
    sql(
        &folder.path().join("one.db"),
        "INSERT INTO orders VALUES (7, 'x', 900)",
    );
    sql(
        &folder.path().join("other.db"),
        "INSERT INTO orders VALUES (7, 'x', 900)",
    );
    let mended = json(&run(&repair), 0);
    assert_eq!(mended["tables"][0]["repaired"], 1);
    json(&run(&["--table", "orders", "--format", "json"]), 0);
}
