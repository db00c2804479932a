//! Confluent's Parallel Consumer on the same topic, by a small Java main (`bench/peers/ParallelConsumer.java`), which Java compiles as it starts it.

use crate::report::{Result, float};
use keylane_parts::parallel_consumer_jars;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What it is to do.
pub(crate) struct Task<'a> {
    pub(crate) bootstrap: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) group: String,
    pub(crate) work_ms: u64,
    pub(crate) records: u64,
    pub(crate) concurrency: u64,
    pub(crate) keys: u64,
}

/// What it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) records_per_s: f64,
    pub(crate) cpu_us: f64,
    pub(crate) resident_peak_mb: f64,
}

pub(crate) fn run(task: &Task<'_>) -> Result<Done> {
    let jars = parallel_consumer_jars()?;
    let main = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/ParallelConsumer.java");
    let output = Command::new("java")
        .args([
            "-Xmx2g",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp",
        ])
        .arg(format!("{}/*", jars.display()))
        .arg(main)
        .args([task.bootstrap, task.topic, &task.group])
        .args([task.work_ms, task.records, task.concurrency, task.keys].map(|it| it.to_string()))
        .stdin(Stdio::null())
        .output()?;
    let (told, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let last = told.lines().last().unwrap_or_default();
    let told: Value = serde_json::from_str(last).map_err(|_| {
        let end: String = said.chars().rev().take(2_000).collect();
        let end: String = end.chars().rev().collect();
        format!(
            "Parallel Consumer said nothing; it needs a JDK, because Java compiles its main:\n{end}"
        )
    })?;
    let number = |name: &str| told[name].as_f64().unwrap_or_default();
    if number("broken") > 0.0 {
        return Err(format!("{} records out of order", number("broken")).into());
    }
    let resident_kb = told["resident_peak_kb"].as_u64().unwrap_or_default();
    Ok(Done {
        records_per_s: number("records_per_s"),
        cpu_us: number("cpu_us_per_record"),
        resident_peak_mb: float(resident_kb) / 1e3,
    })
}
