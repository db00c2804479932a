//! The `keylane` command.

use std::process::ExitCode;

/// Millions of small rows are made on one thread and dropped on another: a quarter of what applying cost was the system's allocator. See `docs/decisions/`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ExitCode::from(keylane_server::cli::main())
}
