//! One Kafka node: its formatted folder and its process.

use super::java::Java;
use crate::error::{IoContext, Result};
use crate::install::run;
use crate::process::Process;
use std::path::Path;

const FORMAT_HEAP_MB: u32 = 128;

/// Formats the log folder of one node as a member of the cluster `cluster_id`; `further` arguments say what else it begins with.
pub(crate) fn format(
    java: &Java,
    properties: &Path,
    cluster_id: &str,
    further: &[String],
) -> Result<()> {
    run(
        "formatting a Kafka folder",
        java.run("kafka.tools.StorageTool", FORMAT_HEAP_MB)
            .args(["format", "-t", cluster_id, "-c"])
            .arg(properties)
            .args(further),
    )?;
    Ok(())
}

/// Starts the node whose settings are in `properties`.
pub(crate) fn spawn(java: &Java, properties: &Path, heap_mb: u32, log: &Path) -> Result<Process> {
    let mut kafka = java.run("kafka.Kafka", heap_mb);
    Process::spawn("Kafka", kafka.arg(properties), log)
}

/// A fresh cluster id: 16 random bytes, base64url without padding.
pub(crate) fn cluster_id() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let source = Path::new("/proc/sys/kernel/random/uuid");
    let text = std::fs::read_to_string(source).doing("drawing a cluster id", source)?;
    let digits = text.chars().filter_map(|digit| digit.to_digit(16));
    let number = digits.fold(0_u128, |number, digit| number << 4 | u128::from(digit));
    // The first bit is 0, or the id might begin with "-" and be taken for an option.
    let number = number >> 1;
    // 128 bits and 4 of padding make 22 characters of 6 bits each.
    let places = (0..22_u32).map(|place| 122 - 6 * i64::from(place));
    let sixes = places.map(|from_top| match u32::try_from(from_top) {
        Ok(shift) => number >> shift,
        Err(_) => number << 4,
    });
    Ok(sixes
        .map(|six| {
            let index = usize::try_from(six & 0x3f).expect("below 64");
            char::from(*ALPHABET.get(index).expect("below 64"))
        })
        .collect())
}
