//! `man`: the manual pages of every command, written out of the command line's own description.

use crate::report::{Outcome, TaskResult};
use crate::steps::{cargo, succeeds, target};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct ManArguments {
    /// Where to; `man` in the target folder without it
    folder: Option<PathBuf>,
}

pub(crate) fn run(root: &Path, arguments: &ManArguments) -> TaskResult {
    let folder = match &arguments.folder {
        Some(folder) => std::path::absolute(folder)?,
        None => target(root).join("man"),
    };
    let example = [
        "run",
        "--quiet",
        "-p",
        "keylane-server",
        "--example",
        "man",
        "--",
    ];
    let written = succeeds(cargo(root, &example).arg(&folder))?;
    if written {
        eprintln!("written: man -l {}", folder.join("keylane.1").display());
    }
    Ok(Outcome::from(written))
}
