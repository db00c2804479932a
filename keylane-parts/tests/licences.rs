//! The checker of licences can be had.

use std::process::Command;

use keylane_parts::{cargo_deny, has_cargo_deny, quick};

#[test]
fn the_checker_of_licences_is_there_or_fetched() {
    if quick() {
        return;
    }
    let program = cargo_deny().expect("cargo-deny");
    let version = Command::new(program).arg("--version").output();
    let version = version.expect("it runs").stdout;
    assert!(version.starts_with(b"cargo-deny "), "{version:?}");
    assert!(has_cargo_deny());
}
