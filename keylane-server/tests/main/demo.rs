//! `keylane demo`, as a newcomer runs it.

use std::process::Command;

#[test]
fn the_demo_survives_its_kills_and_proves_both_sides_equal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_keylane"))
        .args([
            "demo",
            "--seconds",
            "6",
            "--seed",
            "7",
            "--format",
            "json",
            "--dir",
        ])
        .arg(&dir)
        .output()
        .expect("the demo runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object");
    let number = |name: &str| report[name].as_u64().unwrap_or_default();
    assert_eq!(report["equal"], serde_json::Value::Bool(true), "{report}");
    assert!(number("kills") >= 2, "{report}");
    assert_eq!(number("order_violations"), 0, "{report}");
    assert_eq!(number("rows_different"), 0, "{report}");
    assert!(number("rows_compared") > 100, "{report}");
    assert_eq!(number("applied"), number("published"), "{report}");
    assert!(number("captured") >= number("published"), "{report}");
    assert!(
        report["replays_skipped"].is_u64() && report["seconds"].is_number(),
        "{report}"
    );
    for name in ["origin.db", "replica.db"] {
        assert!(dir.join(name).exists(), "{name} is left there");
    }
}
