//! Every command says what it does, every argument what it is for, and every example is taken as it stands.

use clap::{Command, CommandFactory as _, Parser as _};
use keylane_server::cli::Arguments;

fn check(command: &Command, path: &str, faults: &mut Vec<String>) {
    if command.get_about().is_none() {
        faults.push(format!("{path} has no description"));
    }
    for argument in command.get_arguments() {
        if argument.get_help().is_none() && argument.get_long_help().is_none() {
            faults.push(format!("{path}: {} has no description", argument.get_id()));
        }
    }
    for inner in command.get_subcommands() {
        check(inner, &format!("{path} {}", inner.get_name()), faults);
    }
}

#[test]
fn every_command_and_every_argument_has_a_description() {
    let mut faults = Vec::new();
    check(&Arguments::command(), "keylane", &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_command_has_examples_and_each_is_right() {
    let keylane = Arguments::command();
    let mut read = 0;
    for command in std::iter::once(&keylane).chain(keylane.get_subcommands()) {
        let name = command.get_name();
        let help = command.get_after_help().map(ToString::to_string);
        let (_, examples) = help
            .as_deref()
            .and_then(|help| help.split_once("Examples:\n"))
            .unwrap_or_else(|| panic!("{name} has no examples"));
        for line in examples
            .lines()
            .filter_map(|line| line.strip_prefix("  keylane "))
        {
            let words = std::iter::once("keylane").chain(line.split(' '));
            let taken = Arguments::try_parse_from(words);
            assert!(taken.is_ok(), "{name}: {line}: {:?}", taken.err());
            read += 1;
        }
        // A line of its own says what each is for.
        let (calls, words) = examples
            .lines()
            .partition::<Vec<_>, _>(|line| line.starts_with("  keylane "));
        assert_eq!(calls.len(), words.len(), "{name}");
    }
    assert!(read > 10, "{read} examples");
}

#[test]
fn a_manual_page_is_written_for_every_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    clap_mangen::generate_to(Arguments::command(), folder.path()).expect("they are written");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    for name in [
        "demo",
        "init",
        "check",
        "run",
        "status",
        "settle",
        "parked",
        "parked-redrive",
        "completions",
    ] {
        assert!(read(&format!("keylane-{name}.1")).contains(".TH"), "{name}");
    }
    let page = read("keylane.1");
    for word in ["Exit codes", "KEYLANE_CONFIG", "keylane demo"] {
        assert!(page.contains(word), "{word}: {page}");
    }
}
