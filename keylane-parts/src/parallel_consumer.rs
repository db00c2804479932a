//! Confluent's Parallel Consumer, a peer of the consumer for any handler: its jars.

use crate::cache;
use crate::error::Result;
use crate::install::{Tool, ensure_installed};
use crate::maven::{self, Artifact};
use std::path::PathBuf;

/// Its version.
pub const PARALLEL_CONSUMER_VERSION: &str = "0.5.3.3";
const ARTIFACTS: [Artifact; 3] = [
    Artifact(
        "io.confluent.parallelconsumer",
        "parallel-consumer-core",
        PARALLEL_CONSUMER_VERSION,
    ),
    Artifact("org.apache.kafka", "kafka-clients", "4.3.1"),
    Artifact("org.slf4j", "slf4j-simple", "2.0.17"),
];

/// The folder of its jars and what they need, fetched if they are not there.
///
/// # Errors
/// If Java or Maven is missing and may not be installed, or a jar cannot be fetched.
pub fn parallel_consumer_jars() -> Result<PathBuf> {
    ensure_installed(&[Tool::Java])?;
    cache::fetched(
        &format!("parallel-consumer-{PARALLEL_CONSUMER_VERSION}"),
        |folder| {
            eprintln!("fetching Parallel Consumer into {}", folder.display());
            maven::copy_dependencies(&ARTIFACTS, folder)
        },
    )
}
