//! `keylane saga demo`, as a newcomer runs it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use keylane_parts::{Signal, end_with_this_process, is_running, send_signal, wait_until};
use serde_json::Value;

fn demo(arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command.args(["saga", "demo"]).args(arguments);
    command.arg("--dir").arg(dir);
    command
}

/// Runs it to its end: its exit code, and what it told.
fn told(arguments: &[&str], dir: &Path) -> (Option<i32>, Value) {
    let json = [&["--format", "json"], arguments].concat();
    let output = demo(&json, dir).output().expect("the demo runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.expect(&stderr))
}

#[test]
fn the_demo_of_sagas_survives_its_kills_and_its_books_add_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("demo");
    let (code, report) = told(&["--seconds", "6", "--seed", "7"], &dir);
    assert_eq!(code, Some(0), "{report}");
    let number = |name: &str| report[name].as_u64().expect(name);
    assert_eq!(number("sagas"), 120, "{report}");
    assert_eq!(number("driven"), 60, "{report}");
    assert_eq!(number("completed") + number("compensated"), 120, "{report}");
    assert!(
        number("compensated") >= 5 && number("kills") >= 4,
        "{report}"
    );
    assert_eq!(
        (number("stuck"), number("invariant_violations")),
        (0, 0),
        "{report}"
    );
    let timeline = |style: &str| report["rollbacks"][style].as_str().expect("a timeline");
    assert!(timeline("driven").contains("compensate_sent"), "{report}");
    assert!(timeline("heard_of").contains(" compensated "), "{report}");
    // What it left is looked at with the ordinary commands.
    let listed = Command::new(env!("CARGO_BIN_EXE_keylane"))
        .args(["saga", "list", "--state", "compensated", "--format", "json"])
        .arg("--config")
        .arg(dir.join("keylane.yaml"))
        .output()
        .expect("it runs");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let sagas = listed["sagas"].as_array().expect("a list");
    for style in ["orchestration", "choreography"] {
        let of_style = sagas.iter().filter(|saga| saga["style"] == style);
        assert!(of_style.count() > 0, "{style}: {listed}");
    }
    // The next demo may have the folder; and a seat that is missing is found.
    let (code, report) = told(&["--seconds", "3", "--spoil"], &dir);
    assert_eq!(code, Some(3), "{report}");
    assert_eq!(report["invariant_violations"], 1, "{report}");
    assert!(
        report["problems"][0]
            .as_str()
            .expect("words")
            .contains("flight")
    );
}

#[test]
fn an_interrupted_demo_of_sagas_ends_its_processes_and_proves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("demo");
    let mut running = demo(&["--seconds", "60"], &dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    end_with_this_process(&running).expect("it is watched");
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let mut processes: Vec<u32> = Vec::new();
    wait_until("its processes to run", Duration::from_secs(30), || {
        let children = std::fs::read_to_string(&children).unwrap_or_default();
        processes = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
        Ok(processes.len() == 4)
    })
    .expect("they run");
    send_signal(running.id(), Signal::Interrupt).expect("it is ours");
    let end = wait_until("the demo to end", Duration::from_secs(30), || {
        Ok(running.try_wait().expect("it can be asked").is_some())
    });
    end.expect("it ends");
    let output = running.wait_with_output().expect("it has ended");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("nothing was proven"), "{stderr}");
    assert!(output.stdout.is_empty(), "there is no result");
    for process in processes {
        let gone = wait_until("a process to be gone", Duration::from_secs(10), || {
            Ok(!is_running(process))
        });
        gone.expect("it is gone");
    }
}
