//! `keylane saga check` as a command: what it prints where, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn check(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command.args(["saga", "check"]).args(arguments);
    command.current_dir(root).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const RIGHT: &str = "examples/sagas/travel.yaml";
const WRONG: &str = "keylane-server/tests/golden/saga_mistakes/S06_undo_missing.yaml";

#[test]
fn a_right_definition_is_told_as_the_guide_shows_it() {
    let output = check(&[RIGHT]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/sagas.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let told = format!("```text\n{}```", text(&output.stdout));
    assert!(guide.contains(&told), "the guide does not show\n{told}");
}

#[test]
fn a_wrong_definition_ends_with_2_whatever_stands_beside_it() {
    for files in [&[WRONG, RIGHT][..], &[RIGHT, WRONG], &[WRONG]] {
        let output = check(files);
        assert_eq!(output.status.code(), Some(2), "{files:?}");
        let told = text(&output.stderr);
        let first = format!("{WRONG}:5:11: error[KL-SAGA-006]: flight.undo: ");
        assert!(told.starts_with(&first), "{told}");
        let is_told = text(&output.stdout).contains("travel.yaml: right");
        assert_eq!(is_told, files.contains(&RIGHT));
    }
}

#[test]
fn what_cannot_be_read_and_wrong_usage_end_with_2() {
    let missing = check(&["no/such.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
    let told = text(&missing.stderr);
    assert!(
        told.starts_with("no/such.yaml: error[KL-CONFIG-001]: cannot be read"),
        "{told}"
    );
    let folder = check(&["examples"]);
    assert_eq!(folder.status.code(), Some(2));
    assert_eq!(check(&[]).status.code(), Some(2));
}

#[test]
fn quiet_says_nothing_of_what_is_right() {
    let output = check(&["--quiet", RIGHT]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn json_is_one_object_with_every_file() {
    let output = check(&["--format", "json", RIGHT, WRONG, "no/such.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let right = &told["files"][0];
    assert_eq!(right["ok"], json!(true));
    assert_eq!(
        (&right["saga"], &right["version"], &right["steps"]),
        (&json!("travel"), &json!(1), &json!(4))
    );
    assert_eq!(right["pivot"], json!("payment"));
    assert_eq!(right["hash"].as_str().map(str::len), Some(16));
    assert_eq!(
        right["forward"],
        json!([["flight", "hotel"], ["payment"], ["confirmation"]])
    );
    assert_eq!(right["back"], json!([["flight", "hotel"]]));
    assert_eq!(right["findings"], json!([]));
    let wrong = &told["files"][1];
    assert_eq!(
        (&wrong["file"], &wrong["ok"]),
        (&json!(WRONG), &json!(false))
    );
    let finding = &wrong["findings"][0];
    assert_eq!(finding["code"], json!("KL-SAGA-006"));
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&json!(5), &json!(11))
    );
    assert!(finding["fix"].as_str().is_some_and(|it| !it.is_empty()));
    let missing = &told["files"][2]["findings"][0];
    assert_eq!(
        (&missing["code"], &missing["line"]),
        (&json!("KL-CONFIG-001"), &Value::Null)
    );
}

#[test]
fn a_chain_is_undone_from_its_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("chain.yaml");
    let step = |id: &str| {
        format!(
            "  - {{ id: {id}, kind: compensatable, participant: p, action: do, undo: {id}.undo }}\n"
        )
    };
    let steps: String = ["a", "b", "c"].map(step).concat();
    std::fs::write(
        &path,
        format!("saga: chain\nversion: 7\ndeadline: 1m\nsteps:\n{steps}"),
    )
    .expect("it is written");
    let output = check(&[&path.display().to_string()]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(told.contains("no pivot"), "{told}");
    let back = "  1  c  c.undo\n  2  b  b.undo\n  3  a  a.undo\n";
    assert!(told.ends_with(back), "{told}");
}
