//! The `keylane` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(keylane_server::cli::main())
}
