//! Confluent's Parallel Consumer on the same topic, by a small Java main (`bench/peers/ParallelConsumer.java`), which Java compiles as it starts it: that needs a JDK.

use crate::report::Result;
use keylane_parts::parallel_consumer_jars;
use std::path::PathBuf;
use std::process::Command;

/// Its memory, and what it says of itself.
const JAVA: [&str; 2] = ["-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"];

/// A Java that is to run it, to be given its arguments.
pub(crate) fn command() -> Result<Command> {
    let jars = parallel_consumer_jars()?;
    let main = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/ParallelConsumer.java");
    let mut java = Command::new("java");
    java.args(JAVA)
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg(main);
    Ok(java)
}
