//! Logs go to stderr: text on a terminal, JSON otherwise when `KEYLANE_LOG_FORMAT=json`. `KEYLANE_LOG` sets levels as `RUST_LOG` does.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::cli::Color;

/// Starts logging; once for each process.
pub fn start(verbose: u8, quiet: bool, color: Color) {
    let default = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "keylane=info,keylane_server=info,warn",
        (false, 1) => "keylane=debug,keylane_server=debug,info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("KEYLANE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colored = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colored)
        .with_target(false)
        // Who cannot be told that nobody reads what is said would panic over it, and miss the signal to stop.
        .log_internal_errors(false);
    let json = std::env::var("KEYLANE_LOG_FORMAT").is_ok_and(|format| format == "json");
    // A second start in one process (tests) keeps the first.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
}
