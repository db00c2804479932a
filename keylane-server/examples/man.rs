//! Writes the manual pages of every command into a folder: `cargo xtask man`. An example, so that the command itself does not carry what writes them.

use std::process::ExitCode;

use clap::CommandFactory as _;
use keylane_server::cli::Arguments;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("name the folder");
        return ExitCode::from(2);
    };
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), &folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
