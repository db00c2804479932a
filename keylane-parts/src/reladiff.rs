//! reladiff, a peer of the comparison: a Python program.

use crate::cache;
use crate::error::Result;
use crate::install::{Tool, ensure_installed, run};
use std::path::PathBuf;
use std::process::Command;

/// Its version.
pub const RELADIFF_VERSION: &str = "0.6.0";

/// The folder of its packages and of what they need for PostgreSQL, fetched if they are not there: the `PYTHONPATH` for `python3 -m reladiff`.
///
/// # Errors
/// If Python is missing and may not be installed, or a package cannot be fetched.
pub fn reladiff() -> Result<PathBuf> {
    ensure_installed(&[Tool::Pip])?;
    cache::fetched(&format!("reladiff-{RELADIFF_VERSION}"), |folder| {
        eprintln!("fetching reladiff into {}", folder.display());
        let fetch = |package: &str| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--target"]);
            run("fetching reladiff", pip.arg(folder).arg(package))
        };
        fetch(&format!("reladiff=={RELADIFF_VERSION}"))?;
        fetch("psycopg2-binary")?;
        Ok(())
    })
}
