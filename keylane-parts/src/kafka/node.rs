//! One Kafka node: its jars, its formatted folder, its process.

use crate::cache;
use crate::error::{IoContext, Result};
use crate::install::{Tool, ensure_installed, run};
use crate::maven::{self, Artifact};
use crate::process::Process;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "4.3.0";
const ARTIFACTS: [Artifact; 3] = [
    Artifact("org.apache.kafka", "kafka_2.13", VERSION),
    // Brings Kafka Connect's runtime along.
    Artifact("org.apache.kafka", "kafka-tools", VERSION),
    Artifact("org.slf4j", "slf4j-simple", "1.7.36"),
];

/// The folder of Kafka's jars, fetched once.
pub(crate) fn jars() -> Result<PathBuf> {
    ensure_installed(&[Tool::Java])?;
    cache::fetched(&format!("kafka-{VERSION}"), |folder| {
        eprintln!("fetching Kafka {VERSION} into {}", folder.display());
        maven::copy_dependencies(&ARTIFACTS, folder)
    })
}

/// Formats the log folder of one node as a member of the cluster `cluster_id`.
pub(crate) fn format(jars: &Path, properties: &Path, cluster_id: &str) -> Result<()> {
    run(
        "formatting a Kafka folder",
        java(jars, 128)
            .args(["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"])
            .arg(properties),
    )?;
    Ok(())
}

pub(crate) fn spawn(jars: &Path, properties: &Path, heap_mb: u32, log: &Path) -> Result<Process> {
    Process::spawn(
        "Kafka",
        java(jars, heap_mb).arg("kafka.Kafka").arg(properties),
        log,
    )
}

fn java(jars: &Path, heap_mb: u32) -> Command {
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap_mb}m"))
        .args(["-Xshare:auto", "-XX:+UseSerialGC"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-Dorg.slf4j.simpleLogger.showDateTime=true")
        .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
        .arg("-cp")
        .arg(jars.join("*"));
    java
}

/// A fresh cluster id: 16 random bytes, base64url without padding.
pub(crate) fn cluster_id() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let source = Path::new("/proc/sys/kernel/random/uuid");
    let text = std::fs::read_to_string(source).doing("drawing a cluster id", source)?;
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    let number = digits
        .iter()
        .fold(0_u128, |number, digit| number << 4 | u128::from(*digit));
    // 128 bits and 4 of padding make 22 characters of 6 bits each.
    Ok((0..22_u32)
        .map(|place| {
            let from_top = 122 - 6 * i64::from(place);
            let six = match u32::try_from(from_top) {
                Ok(shift) => number >> shift,
                Err(_) => number << 4,
            };
            let index = usize::try_from(six & 0x3f).expect("below 64");
            char::from(*ALPHABET.get(index).expect("below 64"))
        })
        .collect())
}
