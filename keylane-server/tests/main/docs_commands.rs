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
