//! The machine that the figures are of.

use serde_json::{Value, json};

/// Cores, memory, kernel, load.
pub(crate) fn conditions() -> Vec<(&'static str, Value)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let memory_kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    vec![
        ("cores", json!(cores)),
        ("processor", json!(model)),
        ("memory_gib", json!(memory_kib.map(|kib| kib >> 20))),
        (
            "kernel",
            json!(read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ),
        ("load_average_at_start", load_average()),
    ]
}

/// The load over one, five and fifteen minutes.
pub(crate) fn load_average() -> Value {
    let text = read("/proc/loadavg");
    let numbers = text.split(' ').take(3);
    json!(
        numbers
            .filter_map(|number| number.parse::<f64>().ok())
            .collect::<Vec<_>>()
    )
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
