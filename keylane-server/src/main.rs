//! The `keylane` command.

use std::process::ExitCode;

/// Millions of small rows are made on one thread and dropped on another: a quarter of what applying cost was the system's allocator. It serves the C libraries too:
/// Kafka's client hands each record from thread to thread, and what the system's allocator then kept grew with every row that was copied. See `docs/decisions/`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Few arenas, and what is free goes back soon: that took a fifth off the memory of the whole road.
#[expect(
    unsafe_code,
    reason = "the name by which jemalloc finds its settings; nothing else has it"
)]
#[unsafe(export_name = "malloc_conf")]
static ALLOCATOR_SETTINGS: &[u8; 46] = b"narenas:2,dirty_decay_ms:200,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    ExitCode::from(keylane_server::cli::main())
}
