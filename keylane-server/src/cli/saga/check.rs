//! `keylane saga check`: every mistake of a definition, of either style, at once, or what it comes to.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::{Format, print};
use crate::config::{SagaFile, load_saga_file};
use crate::exit_code::Exit;
use crate::saga::{choreography_text, choreography_wire, mistakes_wire, plan_text, plan_wire};

/// The arguments of `keylane saga check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Definitions or choreographies, in YAML or JSON, one a file.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How plans and mistakes are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Looks at each file; 2 if one is wrong. Mistakes go to stderr, plans and JSON to stdout.
pub(super) fn run(arguments: &CheckArguments, quiet: bool) -> Exit {
    let mut is_right = true;
    let mut wires = Vec::new();
    for path in &arguments.files {
        let file = path.display().to_string();
        let read = load_saga_file(path);
        is_right &= read.is_ok();
        match (arguments.format, read) {
            (Format::Json, Ok(SagaFile::Orchestration(plan))) => {
                wires.push(plan_wire(&file, &plan));
            }
            (Format::Json, Ok(SagaFile::Choreography(it))) => {
                wires.push(choreography_wire(&file, &it));
            }
            (Format::Json, Err(error)) => wires.push(mistakes_wire(&error)),
            (Format::Text, Ok(_)) if quiet => {}
            (Format::Text, Ok(SagaFile::Orchestration(plan))) => {
                print(plan_text(&file, &plan).as_bytes());
            }
            (Format::Text, Ok(SagaFile::Choreography(it))) => {
                print(choreography_text(&file, &it).as_bytes());
            }
            (Format::Text, Err(error)) => {
                // Nobody may be reading: the code tells all the same.
                let _ = write!(std::io::stderr(), "{error}");
            }
        }
    }
    if arguments.format == Format::Json {
        print(format!("{:#}\n", json!({ "files": wires })).as_bytes());
    }
    if is_right { Exit::Ok } else { Exit::Usage }
}
