//! The commands of the README and the guides that need no outside part, run as they stand there: fenced blocks marked `sh run`.

use std::path::{Path, PathBuf};
use std::process::Command;

const FENCE: &str = "```sh run";

/// The commands of a text, one a line.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            FENCE => inside = true,
            "```" => inside = false,
            _ if inside && !line.trim().is_empty() => commands.push(line.to_owned()),
            _ => {}
        }
    }
    commands
}

fn run(document: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join(document)).expect("it is there");
    let commands = commands(&text);
    assert!(!commands.is_empty(), "{document} has no block {FENCE}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_keylane"));
    let path = std::env::join_paths(program.parent().map(Path::to_path_buf).into_iter().chain(
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()),
    ));
    for command in commands {
        // The program is built already.
        let line = command.replace("cargo run --release --", "keylane");
        let output = Command::new("sh")
            .args(["-ec", &line])
            .current_dir(folder.path())
            .env("PATH", path.as_ref().expect("a path"))
            .output()
            .expect("a shell");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{document}: {command}: {told}");
        // Other programs of this machine may hold the port.
        let config = folder.path().join("keylane.yaml");
        if let Ok(text) = std::fs::read_to_string(&config) {
            std::fs::write(config, text.replace("127.0.0.1:7070", "off")).expect("it is written");
        }
    }
}

#[test]
fn the_commands_of_the_readme_do_what_they_say() {
    run("README.md");
}

#[test]
fn the_first_start_of_the_operations_guide_goes_as_it_is_written() {
    run("docs/guides/operations.md");
}

/// Every test function of the workspace, by name, in one text.
fn tests_of(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let is_built = path.ends_with("target") || path.ends_with(".git");
        if path.is_dir() && !is_built {
            tests_of(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).expect("source");
            for line in text.lines() {
                if let Some((_, name)) = line.split_once("fn ") {
                    into.push_str(name);
                    into.push('\n');
                }
            }
        }
    }
}

#[test]
fn the_tests_that_the_guide_of_failures_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = root.join("docs/guides/failures.md");
    let guide = std::fs::read_to_string(guide).expect("it is there");
    let mut tests = String::new();
    tests_of(&root, &mut tests);
    let mut named = 0;
    for name in guide.split('`').skip(1).step_by(2) {
        // What is no sentence is a setting, a type or a path.
        if name.matches('_').count() >= 4 && !name.contains('/') {
            named += 1;
            assert!(tests.contains(&format!("{name}(")), "{name} is no test");
        }
    }
    assert!(named > 20, "{named} are named");
}
