//! Debezium's two connectors as Connect wants them: a folder each, without what Connect itself brings.

use crate::cache;
use crate::error::{IoContext, Result};
use crate::maven::{self, Artifact};
use std::path::PathBuf;

const VERSION: &str = "3.4.0.Final";
const CONNECTORS: [&str; 2] = ["debezium-connector-postgres", "debezium-connector-jdbc"];
/// Two copies of these would not know each other's classes.
const BROUGHT_BY_CONNECT: [&str; 4] = [
    "jackson-core-",
    "jackson-databind-",
    "jackson-annotations-",
    "slf4j-api-",
];

/// The folder for `plugin.path`, fetched once.
pub(crate) fn folder() -> Result<PathBuf> {
    cache::fetched(&format!("debezium-{VERSION}"), |plugins| {
        eprintln!("fetching Debezium {VERSION} into {}", plugins.display());
        for connector in CONNECTORS {
            let own = plugins.join(connector);
            maven::copy_dependencies(&[Artifact("io.debezium", connector, VERSION)], &own)?;
            for entry in std::fs::read_dir(&own).doing("listing a folder", &own)? {
                let path = entry.doing("listing a folder", &own)?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if BROUGHT_BY_CONNECT.iter().any(|jar| name.starts_with(jar)) {
                    std::fs::remove_file(&path).doing("removing a jar", &path)?;
                }
            }
        }
        Ok(())
    })
}
