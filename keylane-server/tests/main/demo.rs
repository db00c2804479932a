//! `keylane demo`, as a newcomer runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use keylane_parts::{Signal, end_with_this_process, is_running, send_signal, wait_until};

#[test]
fn the_demo_survives_its_kills_and_proves_both_sides_equal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("demo");
    let output = demo(
        &["--seconds", "6", "--seed", "7", "--format", "json", "--dir"],
        &dir,
    );
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
    // The next demo may have the folder: whatever a demo leaves there is known to be a demo's.
    let again = demo(&["--seconds", "3", "--dir"], &dir);
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(0), "{stderr}");
}

fn demo(arguments: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keylane"))
        .arg("demo")
        .args(arguments)
        .arg(dir)
        .output()
        .expect("the demo runs")
}

#[test]
fn an_interrupted_demo_ends_its_workers_and_says_by_its_exit_code_that_nothing_was_proven() {
    for (signal, code) in [(Signal::Interrupt, 130), (Signal::Terminate, 143)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("demo");
        let mut running = Command::new(env!("CARGO_BIN_EXE_keylane"))
            .args(["demo", "--seconds", "60", "--format", "json", "--dir"])
            .arg(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        end_with_this_process(&running).expect("it is watched");
        let mut workers = Vec::new();
        wait_until("both workers to run", Duration::from_secs(30), || {
            workers = ["capture", "apply"]
                .iter()
                .filter_map(|role| pid(&dir, role))
                .collect();
            Ok(workers.len() == 2)
        })
        .expect("they run");
        send_signal(running.id(), signal).expect("it is ours");
        let end = wait_until("the demo to end", Duration::from_secs(30), || {
            Ok(running.try_wait().expect("it can be asked").is_some())
        });
        end.expect("it ends");
        let output = running.wait_with_output().expect("it has ended");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("nothing was proven"), "{stderr}");
        assert!(output.stdout.is_empty(), "there is no result");
        for worker in workers {
            let gone = wait_until("a worker to be gone", Duration::from_secs(10), || {
                Ok(!is_running(worker))
            });
            gone.expect("it is gone");
        }
    }
}

#[test]
fn a_demo_that_nobody_reads_goes_on_to_its_end() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_keylane"));
    demo.args(["demo", "--seconds", "3", "--dir"])
        .arg(folder.path().join("demo"))
        .stdout(writer.try_clone().expect("a second end"))
        .stderr(writer);
    let end = demo.status().expect("the demo runs");
    assert_eq!(end.code(), Some(0));
}

/// A worker's process, once it has told of itself.
fn pid(dir: &Path, role: &str) -> Option<u32> {
    let status = std::fs::read(dir.join(format!(".keylane/shop.{role}.status.json"))).ok()?;
    let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
    status["pid"].as_u64()?.try_into().ok()
}
